"""The confusion matrix against naive loops and values worked out by hand."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch

from closedform_wsss.metrics import ConfusionMatrix


def naive_matrix(preds: torch.Tensor, target: torch.Tensor, classes: int, ignore: int) -> list[list[int]]:
    counts = [[0] * classes for _ in range(classes)]
    for p, t in zip(preds.flatten().tolist(), target.flatten().tolist(), strict=True):
        if t != ignore:
            counts[t][p] += 1
    return counts


@pytest.mark.parametrize("ignore", [255, -1, 0])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16])
def test_matrix_against_loops(ignore: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    preds = torch.randint(0, 4, (2, 5, 7)).to(dtype)
    target = torch.randint(0, 4, (2, 5, 7)).to(dtype)
    target[torch.rand(target.shape) < 0.3] = ignore
    matrix = ConfusionMatrix(4, ignore_index=ignore)
    matrix.update(preds[:1], target[:1])
    matrix.update(preds[1:], target[1:])
    assert matrix.matrix.tolist() == naive_matrix(preds, target, 4, ignore)


def test_scores_by_hand() -> None:
    matrix = ConfusionMatrix(4)
    # Class 0 is right on 2 of 3 pixels, class 1 on 1 of 2, class 2 only predicted, class 3 nowhere.
    matrix.update(torch.tensor([[[0, 0, 1, 1, 2, 0]]]), torch.tensor([[[0, 0, 0, 1, 1, 255]]]))
    scores = matrix.compute()
    assert scores.iou[:3].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert scores.iou[3].isnan()
    assert scores.mean_iou == pytest.approx(1 / 3)
    assert scores.pixel_accuracy == pytest.approx(3 / 5)
    assert scores.mean_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores.ignored == pytest.approx(1 / 6)
    assert scores.classes_in_target.tolist() == [True, True, False, False]


def test_scores_are_of_the_data_set_not_the_mean_of_images() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(torch.tensor([[[1, 1, 1, 1]]]), torch.tensor([[[1, 1, 1, 1]]]))
    matrix.update(torch.tensor([[[0, 1]]]), torch.tensor([[[0, 0]]]))
    assert matrix.compute().iou.tolist() == pytest.approx([1 / 2, 4 / 5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_scores_of_a_network(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 3, 4, 5, dtype=dtype, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 5))
    by_scores, by_labels = ConfusionMatrix(3), ConfusionMatrix(3)
    by_scores.update(logits, target)
    by_labels.update(logits.detach().argmax(1), target)
    assert by_scores.matrix.tolist() == by_labels.matrix.tolist()
    assert not by_scores.matrix.requires_grad


def test_nothing_counted_gives_nan() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(torch.zeros(1, 2, 2, dtype=torch.long), torch.full((1, 2, 2), 255))
    matrix.update(torch.zeros(0, 2, 2, dtype=torch.long), torch.zeros(0, 2, 2, dtype=torch.long))
    matrix.update(torch.zeros(0, 3, 2, 2), torch.zeros(0, 2, 2, dtype=torch.long))
    with pytest.warns(UserWarning, match="compute: the scores are NaN, because all 4 pixels .* ignore_index 255"):
        scores = matrix.compute()
    assert matrix.matrix.sum() == 0 and scores.ignored == 1
    assert all(map(math.isnan, (scores.mean_iou, scores.pixel_accuracy, scores.mean_accuracy)))
    assert scores.iou.isnan().all()
    with pytest.warns(UserWarning, match="because update was given no pixel"):
        assert math.isnan(ConfusionMatrix(3).compute().ignored)


def test_masks_of_0_and_255_are_warned_of() -> None:
    target = torch.zeros(1, 4, 5, dtype=torch.long)
    target[:, 1:3, 1:4] = 255
    matrix = ConfusionMatrix(2)
    matrix.update(torch.zeros_like(target), target)
    with pytest.warns(UserWarning) as caught:
        scores = matrix.compute()
    (warning,) = caught
    assert "class 0 alone occurs in the 14 counted pixels" in str(warning.message)
    assert "pass (target == 255).long()" in str(warning.message)
    assert warning.filename == __file__
    assert (scores.mean_iou, scores.ignored) == (1, 6 / 20)
    matrix = ConfusionMatrix(2)
    matrix.update(torch.zeros_like(target), (target == 255).long())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert matrix.compute().iou.tolist() == [14 / 20, 0]
    # Another class alone, and no cure for masks.
    matrix.reset()
    matrix.update(torch.ones_like(target), torch.ones_like(target))
    with pytest.warns(UserWarning, match="class 1 alone occurs in the 20 counted pixels of target: [^;]*$"):
        matrix.compute()


def test_merge_add_reset() -> None:
    torch.manual_seed(2)
    preds, target = torch.randint(0, 3, (2, 4, 4)), torch.randint(0, 3, (2, 4, 4))
    first, second, both = (ConfusionMatrix(3) for _ in range(3))
    first.update(preds[:1], target[:1])
    second.update(preds[1:], target[1:])
    both.update(preds, target)
    alone = first.matrix.clone()
    assert (first + second).matrix.tolist() == both.matrix.tolist()
    assert first.matrix.tolist() == alone.tolist()
    assert first.merge(second) is first
    assert first.matrix.tolist() == both.matrix.tolist()
    first.reset()
    assert first.matrix.sum() == 0 and both.matrix.sum() == 32
    with pytest.warns(UserWarning, match="no pixel"):
        assert math.isnan(first.compute().ignored)
    with pytest.raises(ValueError, match="other must have num_classes=3"):
        first.merge(ConfusionMatrix(4))
    with pytest.raises(ValueError, match="ignore_index=255"):
        first.merge(ConfusionMatrix(3, ignore_index=0))


def test_matrix_is_the_live_tensor() -> None:
    matrix = ConfusionMatrix(2)
    matrix.matrix.mul_(0).add_(3)  # what an all-reduce does
    assert matrix.compute().pixel_accuracy == 0.5


def test_invalid_values_are_refused_and_not_counted() -> None:
    matrix = ConfusionMatrix(2)
    good = torch.zeros(1, 1, 2, dtype=torch.long)
    nan = torch.tensor([[[[0.0, math.nan]], [[1.0, 1.0]]]])
    for preds, target in (
        (torch.tensor([[[0, 2]]]), good),
        (torch.tensor([[[0, -1]]]), good),
        (good, torch.tensor([[[0, 2]]])),
        (good, torch.tensor([[[0, -1]]])),
        (nan, good),
    ):
        with pytest.raises(ValueError, match=r"labels must be in 0..1 .* got 1 counted pixels") as error:
            matrix.update(preds, target)
        where = "NaN in preds" if preds is nan else "[-12]\\] in target" if preds is good else "[-12]\\] in preds"
        error.match(where)
        assert ("ignore_index names" in str(error.value)) == (preds is good)
    assert matrix.matrix.sum() == 0
    # Where the target does not count, the prediction may be anything.
    matrix.update(nan, torch.tensor([[[0, 255]]]))
    matrix.update(torch.tensor([[[0, 255]]]), torch.tensor([[[0, 255]]]))
    assert matrix.matrix.tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("preds", "target", "error", "message"),
    [
        (
            torch.zeros(1, 2, 2),
            torch.zeros(1, 2, 2).long(),
            TypeError,
            "preds .* integer type, got torch.float32",
        ),
        (torch.zeros(1, 3, 2, 2).long(), torch.zeros(1, 2, 2).long(), TypeError, "preds .* floating type"),
        (torch.zeros(1, 2, 2).long(), torch.zeros(1, 2, 2), TypeError, "target must be of an integer type"),
        (
            torch.zeros(1, 2, 2).long(),
            torch.zeros(2, 2).long(),
            ValueError,
            "target must be \\(N, H, W\\).*target\\[None\\]",
        ),
        (
            torch.zeros(1, 2, 2).long(),
            torch.zeros(1, 1, 2, 2).long(),
            ValueError,
            "target must be .*: target.squeeze\\(1\\)",
        ),
        (
            torch.zeros(1, 4, 5).long(),
            torch.zeros(1, 3, 4, 5).long(),
            ValueError,
            "target must be .*: target.argmax\\(1\\), if it is one-hot at every pixel",
        ),
        (
            torch.zeros(1, 4, 5).long(),
            torch.zeros(1, 4, 5, 3).long(),
            ValueError,
            "target must be .*: target.argmax\\(3\\), if it is one-hot at every pixel",
        ),
        (torch.zeros(1, 4, 5).long(), torch.zeros(1, 7, 4, 5).long(), ValueError, "target must be .* 4, 5\\)$"),
        (
            torch.zeros(1, 4, 5, 3),
            torch.zeros(1, 4, 5).long(),
            ValueError,
            "preds must be .*: preds.permute\\(0, 3, 1, 2\\)",
        ),
        (
            torch.zeros(1, 1, 2, 2).long(),
            torch.zeros(1, 2, 2).long(),
            TypeError,
            "preds .* floating type.* preds.squeeze\\(1\\)",
        ),
        (torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2).long(), ValueError, "got shape \\(1, 4, 2, 2\\)"),
        (torch.zeros(1, 2, 3).long(), torch.zeros(1, 2, 2).long(), ValueError, "got shape \\(1, 2, 3\\)"),
    ],
)
def test_wrong_arguments(preds: torch.Tensor, target: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"ConfusionMatrix.update: .*{message}"):
        ConfusionMatrix(3).update(preds, target)


@pytest.mark.parametrize(
    ("wrong", "kind"), [(0, ValueError), (-1, ValueError), (True, TypeError), (2.0, TypeError), ("3", TypeError)]
)
def test_no_classes(wrong: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="ConfusionMatrix: num_classes must be an integer >= 2"):
        ConfusionMatrix(wrong)


def test_one_class_and_one_channel_are_refused_with_the_cures() -> None:
    with pytest.raises(ValueError, match=r"num_classes must be an integer >= 2, got 1, .*\(z > 0\)") as error:
        ConfusionMatrix(1)
    z = torch.tensor([[[[-1.0, 2.0, 0.5, -3.0]]]])
    target = torch.tensor([[[0, 1, 0, 0]]])
    matrix = ConfusionMatrix(2)
    with pytest.raises(ValueError, match=r"preds must be \(1, 2, 1, 4\) .* one channel for 2 classes") as other:
        matrix.update(z, target)
    # Both messages' hints are what they say, and give the same.
    for preds in ("(z > 0).long().squeeze(1)", "torch.cat([torch.zeros_like(z), z], 1)"):
        assert preds in str(error.value) and preds in str(other.value)
        matrix.reset()
        matrix.update(eval(preds), target)
        assert matrix.matrix.tolist() == [[2, 1], [0, 1]]


def test_ignore_index_that_no_label_can_have() -> None:
    with pytest.raises(ValueError, match="ignore_index must be in the range of int64"):
        ConfusionMatrix(3, ignore_index=2**63)
    with pytest.raises(ValueError, match="ignore_index must not be the class 255 of 300"):
        ConfusionMatrix(300)
    assert ConfusionMatrix(255).ignore_index == 255 and ConfusionMatrix(300, ignore_index=-1).num_classes == 300


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_counts_without_waiting() -> None:
    torch.manual_seed(3)
    preds, target = torch.randint(0, 4, (2, 9, 9)), torch.randint(0, 4, (2, 9, 9))
    host, device = ConfusionMatrix(4), ConfusionMatrix(4)
    host.update(preds, target)
    scores = torch.nn.functional.one_hot(preds, 4).movedim(-1, 1).float().cuda()
    preds, target = preds.cuda(), target.cuda()
    device.update(preds, target)
    torch.cuda.set_sync_debug_mode("error")
    try:
        device.update(preds, target)
        device.update(scores, target)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert device.matrix.tolist() == (3 * host.matrix).tolist()
    assert (host + device).matrix.tolist() == (4 * host.matrix).tolist()
    device.update(preds + 4, target)
    with pytest.raises(ValueError, match=r"ConfusionMatrix.compute: .* got 162 counted pixels"):
        device.compute()
