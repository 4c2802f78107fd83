"""Self-training in rounds, on made scenes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.scenes import accuracy, network, samples, scene
from torch import Tensor

from closedform_wsss.training import PseudoLabeler, Recipe, Report, filtering, label_round
from closedform_wsss.training.callback import Rounds


def test_labels_are_better_than_the_predictions(tmp_path: Path) -> None:
    labeler = PseudoLabeler(tmp_path / "labels", 3)
    assert "folder/0" not in labeler and torch.equal(labeler.class_weight, torch.ones(3))
    report = labeler.update(network, samples())
    truth = torch.stack(
        [scene(k, 48 + 2 * k, 64)[2].flatten().bincount(minlength=3) / (48 + 2 * k) / 64 for k in range(6)]
    )
    wanted = truth.mean(0)
    assert accuracy(labeler) > 0.97
    assert (report.labels - wanted).abs().max() < 0.3 * (report.predictions - wanted).abs().max()
    assert report.round == labeler.round == 1 and report.collapsed == []
    assert labeler["folder/3"].dtype == torch.uint8 and labeler["folder/3"].shape == (54, 64)
    assert labeler.class_weight.argmax() == 2
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["labels"]


def test_predictions_that_were_made_elsewhere(tmp_path: Path) -> None:
    """The same labels as from the network itself."""
    one, two = PseudoLabeler(tmp_path / "1", 3, Recipe(prediction_scales=(1,))), PseudoLabeler(tmp_path / "2", 3)
    first = one.update(network, samples())
    given = ((key, image, marks, network(image[None])[0].softmax(0)) for key, image, marks in samples())
    second = two.update_from(given)
    assert str(first) == str(second) and two.round == 1
    for key, _, _ in samples():
        assert torch.equal(one[key], two[key])


def test_marks_stay_whatever_the_filter_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def only_the_last(recipe: Recipe, p: Tensor, *_: object) -> Tensor:
        return torch.zeros_like(p).index_fill_(1, torch.tensor([2]), 1.0)

    monkeypatch.setattr(label_round, "filtered", only_the_last)
    labeler = PseudoLabeler(tmp_path, 3, Recipe(repeats=0))
    labeler.update(network, samples(1))
    marks = samples(1)[0][2]
    assert torch.equal(labeler["folder/0"], torch.where(marks == 255, 2, marks).byte())


@pytest.mark.filterwarnings("ignore:.* have marks but hardly any labels")
@pytest.mark.parametrize(("max_ambiguity", "kept"), [(0.5, [0, 3]), (0.8, [0, 1, 3]), (1.0, [0, 1, 2, 3])])
def test_ambiguous_pixels_have_no_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_ambiguity: float, kept: list[int]
) -> None:
    """Four bands of rows: the second class has 0.2, 0.75, 0.95 and 0.4 of the probability of the first."""
    ratio = torch.tensor([0.2, 0.75, 0.95, 0.4]).repeat_interleave(12)[:, None].expand(48, 64)
    q = torch.stack([1 / (1 + ratio), torch.zeros(48, 64), ratio / (1 + ratio)])[None]
    monkeypatch.setattr(label_round, "filtered", lambda *_: q)
    _, image, _ = samples(1)[0]
    dots, strokes = torch.full((2, 48, 64), 255)
    dots[18, 10:13] = 1
    strokes[18, 10:50], strokes[40, 10:50] = 1, 2
    recipe = Recipe(repeats=0, filter_scale=1.0, max_ambiguity=max_ambiguity)
    labeler = PseudoLabeler(tmp_path, 3, recipe)
    report = labeler.update(network, [("dots", image, dots), ("strokes", image, strokes)])
    bands = torch.isin(torch.arange(4), torch.tensor(kept)).repeat_interleave(12)[:, None].expand(48, 64)
    expected = torch.where(strokes == 255, torch.where(bands, 0, 255), strokes)
    assert torch.equal(labeler["strokes"].long(), expected)
    assert torch.equal(labeler["dots"].long(), torch.where(dots == 255, 0, dots))
    assert report.ambiguous == pytest.approx(float((expected == 255).float().mean()) / 2)
    assert str(report).endswith(f"no label, because ambiguous: {report.ambiguous:.1%}")


def test_marks_stay(tmp_path: Path) -> None:
    labeler = PseudoLabeler(tmp_path, 3, Recipe(repeats=0))
    wrong = samples(1)
    wrong[0][2][30:34, 20:40] = 0  # against the image
    labeler.update(network, wrong)
    marks = wrong[0][2]
    assert torch.equal(labeler["folder/0"][marks != 255].long(), marks[marks != 255])


def test_the_mean_over_copies_of_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each size, each also mirrored; a prediction of half of the size comes back to that of the largest."""
    seen, stored = [], []
    weight = torch.randn(3, 3, 5, 5, generator=torch.Generator().manual_seed(0))

    def predict(image: Tensor) -> Tensor:
        seen.append(tuple(image.shape))
        return torch.nn.functional.conv2d(image, weight, stride=2, padding=2)

    monkeypatch.setattr(label_round, "store", lambda file, p, image, marks: stored.append(p))
    monkeypatch.setattr(label_round, "load", lambda file: (stored[0], torch.rand(1, 3, *stored[0].shape[2:]), marks))
    key, image, target = samples(1)[0]
    marks = target[None]
    PseudoLabeler(
        tmp_path, 3, Recipe(prediction_scales=(1, 1.5), flip=True, filter_scale=1.0, complete_marks=False)
    ).update(predict, [(key, image, target)])
    assert seen == [(1, 3, 48, 64)] * 2 + [(1, 3, 72, 96)] * 2
    large = torch.nn.functional.interpolate(image[None], (72, 96), mode="bilinear", antialias=True)
    views = [predict(x) for x in (image[None], large)] + [predict(x.flip(-1)).flip(-1) for x in (image[None], large)]
    mean = sum(torch.nn.functional.interpolate(v.softmax(1), (36, 48), mode="bilinear") for v in views) / 4
    expected = torch.nn.functional.interpolate(mean, (48, 64), mode="bilinear")
    torch.testing.assert_close(stored[0], expected, rtol=0, atol=1e-6)


def test_dots_are_predicted_at_their_own_size(tmp_path: Path) -> None:
    """Where marks cover less than a thousandth of the image for each of their classes; each image for itself."""
    seen = []

    def predict(image: Tensor) -> Tensor:
        seen.append(image.shape[-1])
        return network(image)

    _, image, _ = samples(1)[0]
    dots, strokes = torch.full((2, 48, 64), 255)
    dots[10, 10:13], dots[30, 10:13] = 0, 1  # 3 of 3072 pixels
    strokes[10, 10:14], strokes[30, 10:14] = 0, 1
    PseudoLabeler(tmp_path, 3).update(predict, [("dots", image, dots), ("strokes", image, strokes)])
    assert seen == [64, 64, 128]


def test_a_network_that_writes_in_place(tmp_path: Path) -> None:
    """It normalises what it gets, and each output lies in the memory of the one before, as of a captured graph."""
    memory = torch.empty(3 * 48 * 64 * 4)

    def predict(image: Tensor) -> Tensor:
        logits = network(image.sub_(0.5) + 0.5)
        return memory[: logits.numel()].view(logits.shape).copy_(logits)

    made = [(key, image.contiguous(), marks) for key, image, marks in samples(2)]
    kept = [image.clone() for _, image, _ in made]
    one, two = (PseudoLabeler(tmp_path / name, 3, Recipe(flip=True)) for name in ("1", "2"))
    one.update(network, made), two.update(predict, made)
    assert all(torch.equal(image, before) for (_, image, _), before in zip(made, kept, strict=True))
    for key, _, _ in made:
        assert (one[key] == two[key]).float().mean() > 0.999  # (x - 0.5) + 0.5 rounds


def test_a_network_of_one_size(tmp_path: Path) -> None:
    def predict(image: Tensor) -> Tensor:
        if image.shape[-2:] != (48, 64):
            raise ValueError("48 x 64 only")
        return network(image)

    message = (
        r"PseudoLabeler.update, sample 'folder/0': predict failed for the image at 2 times its size, "
        r"\(1, 3, 96, 128\): 48 x 64 only. Pass Recipe\(prediction_scales=\(1,\)\)"
    )
    with pytest.raises(RuntimeError, match=message):
        PseudoLabeler(tmp_path / "1", 3).update(predict, samples(1))
    PseudoLabeler(tmp_path / "2", 3, Recipe(prediction_scales=(1,))).update(predict, samples(1))


def test_images_of_8_bits_and_mirrored(tmp_path: Path) -> None:
    bytes_ = [(key, (image * 255).round().byte(), marks.to(torch.uint8)) for key, image, marks in samples()]
    one, two = PseudoLabeler(tmp_path / "1", 3), PseudoLabeler(tmp_path / "2", 3, Recipe(flip=True))
    one.update(network, bytes_), two.update(network, samples())
    assert accuracy(one) > 0.97 and accuracy(two) > 0.97


def test_a_generator_is_read_once_and_a_module_put_into_evaluation(tmp_path: Path) -> None:
    class Net(torch.nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            assert not self.training and not torch.is_grad_enabled()
            return network(image)

    net = Net().train()
    net.frozen, net.other = torch.nn.BatchNorm2d(3).eval(), torch.nn.BatchNorm2d(3)
    PseudoLabeler(tmp_path / "module", 3).update(net, iter(samples(2)))
    assert net.training and net.other.training and not net.frozen.training
    rounds = Rounds(PseudoLabeler(tmp_path / "callback", 3), samples(2))
    rounds.start_epoch(4, 12, net)
    assert rounds.report is not None and net.training and not net.frozen.training


def test_a_collapsed_class_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network predicts too much of class 2; with these limits, less of it in the labels is a collapse."""
    assert PseudoLabeler(tmp_path / "fine", 3).update(network, samples()).collapsed == []
    monkeypatch.setattr(label_round, "COLLAPSED", 0.99)
    assert PseudoLabeler(tmp_path / "more than marks", 3).update(network, samples()).collapsed == []
    monkeypatch.setattr(label_round, "ONLY_MARKS", 100)
    with pytest.warns(UserWarning, match=r"the classes \[2\] have marks but hardly any labels after round 1"):
        report = PseudoLabeler(tmp_path / "collapsed", 3).update(network, samples())
    assert report.collapsed == [2] and str(report).splitlines()[-2].endswith("collapsed")
    without = [(key, image, marks.masked_fill(marks == 2, 255)) for key, image, marks in samples()]
    assert PseudoLabeler(tmp_path / "no marks", 3).update(network, without).collapsed == []


def test_labels_hold_the_classes_of_the_marks_only(tmp_path: Path) -> None:
    """The network sees a red box everywhere, but two images have no mark on one."""
    made = samples()
    for _, _, marks in made[:2]:
        marks[marks == 2] = 255
    labeler = PseudoLabeler(tmp_path / "complete", 3, Recipe(max_ambiguity=1))
    labeler.update(network, made)
    assert [2 in labeler[f"folder/{k}"] for k in range(6)] == [False] * 2 + [True] * 4
    free = PseudoLabeler(tmp_path / "free", 3, Recipe(complete_marks=False, max_ambiguity=1))
    free.update(network, made)
    assert all(2 in free[f"folder/{k}"] for k in range(6))


def test_the_scale_follows_from_the_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = {}
    refine = filtering.refine_prediction
    monkeypatch.setattr(
        filtering,
        "refine_prediction",
        lambda p, image, marks, **options: (
            sizes.update({int((marks != 255).sum()): tuple(p.shape[2:])}),
            refine(p, image, marks, **options),
        )[1],
    )
    near, far = torch.full((64, 96), 255), torch.full((64, 96), 255)
    near[30, 10:80], near[35, 10:80] = 0, 1  # 5 pixels apart
    far[4, 10:90], far[60, 10:90] = 0, 1
    made = [("near", torch.rand(3, 64, 96), near), ("far", torch.rand(3, 64, 96), far)]
    PseudoLabeler(tmp_path / "1", 3).update(network, made)
    assert sizes == {140: (64, 96), 160: (16, 24)}
    PseudoLabeler(tmp_path / "2", 3, Recipe(filter_scale=0.5)).update(network, made)
    assert sizes == {140: (32, 48), 160: (32, 48)}


def test_report_says_it_in_a_table() -> None:
    half = torch.tensor([0.5, 0.5])
    assert str(Report(2, half, half, half)).splitlines()[0] == "round 2"
