"""What PseudoLabeler takes, and what it says of mistakes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.scenes import network, samples
from torch import Tensor

from closedform_wsss.training import PseudoLabeler, Recipe, SelfTrainingLoss


@pytest.mark.parametrize(
    ("probs", "message"),
    [
        (torch.full((2, 48, 64), 0.5), r"probs must be \(3, h, w\), got shape \(2, 48, 64\)"),
        (torch.zeros(3, 0, 0), r"probs must be \(3, h, w\), got shape \(3, 0, 0\)"),
        (torch.full((3, 48, 64), 0.5), "probs must add up to 1 over the classes, got sums from 1.5 to 1.5"),
        (torch.full((3, 48, 64), -1.0), r"probs must be in \[0, 1\]"),
        (torch.full((3, 48, 64), torch.nan), r"probs must be in .*got NaN"),
    ],
)
def test_predictions_that_are_none(tmp_path: Path, probs: Tensor, message: str) -> None:
    key, image, marks = samples(1)[0]
    with pytest.raises(ValueError, match=f"PseudoLabeler.update, sample 'folder/0': {message}"):
        PseudoLabeler(tmp_path, 3).update_from([(key, image, marks, probs)])


@pytest.mark.parametrize("scales", [(), 1.5, [1.0], (1, 0), (1, -1), (1, "2"), (1, float("nan"))])
def test_scales_that_are_none(scales: object) -> None:
    with pytest.raises((TypeError, ValueError), match="Recipe: prediction_scales must be"):
        Recipe(prediction_scales=scales)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rounds": (0.5, 0.25)}, "rounds must be ascending fractions"),
        ({"rounds": (0.0,)}, "rounds must be ascending fractions"),
        ({"repeats": -1}, "repeats must be an integer >= 0"),
        ({"balance": 1.5}, r"balance must be a number in \[0, 1\]"),
        ({"filter_scale": 2.0}, r"filter_scale must be in \(0, 1\]"),
        ({"max_ambiguity": 1.5}, r"max_ambiguity must be a number in \[0, 1\]"),
        ({"num_pixels": 0}, "num_pixels must be an integer >= 1"),
    ],
)
def test_recipes_check_their_settings(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"Recipe: {message}"):
        Recipe(**options)


def test_types_of_settings(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"Recipe: rounds must be a tuple of fractions, got 0\.5"):
        Recipe(rounds=0.5)
    with pytest.raises(TypeError, match=r"Recipe: rounds must be a tuple of fractions, got \('1/3',\)"):
        Recipe(rounds=("1/3",))
    with pytest.raises(TypeError, match="PseudoLabeler: recipe must be a Recipe, got dict"):
        PseudoLabeler(tmp_path, 3, {})
    with pytest.raises(TypeError, match="SelfTrainingLoss: recipe must be a Recipe, got dict"):
        SelfTrainingLoss(3, 10, {})


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_classes must be at most 254"):
        PseudoLabeler(tmp_path, 255)
    with pytest.raises(ValueError, match=r"ignore_index in \[3, 255\], got 3 and 2"):
        PseudoLabeler(tmp_path, 3, ignore_index=2)
    labeler = PseudoLabeler(tmp_path, 3)
    with pytest.raises(KeyError, match="holds no label of 'x'"):
        labeler["x"]
    with pytest.raises(ValueError, match="samples must hold at least one sample"):
        labeler.update(network, [])
    with pytest.raises(ValueError, match="keys must differ, got 'folder/0' twice"):
        labeler.update(network, samples(1) * 2)
    for keys in (("a", "a.png/b"), ("a.npz/b", "a")):
        with pytest.raises(ValueError, match=f"keys must not be folders of others, got '{keys[0]}' and '{keys[1]}'"):
            labeler.update(network, [(key, *samples(1)[0][1:]) for key in keys])
    with pytest.raises(ValueError, match=r"keys must be relative paths without './', '//' or '..', got '../x'"):
        labeler.update(network, [("../x", *samples(1)[0][1:])])
    with pytest.raises(TypeError, match="keys must be text, got int 3"):
        labeler.update(network, [(3, *samples(1)[0][1:])])
    with pytest.raises(ValueError, match=r"'folder/0': predict must give \(1, 3, h, w\), got shape \(1, 3, 0, 0\)"):
        labeler.update(lambda image: torch.zeros(1, 3, 0, 0), samples(1))
    with pytest.raises(
        ValueError, match=r"sample 'folder/0': predict must give \(1, 3, h, w\), got shape \(1, 2, 24, 32\)"
    ):
        labeler.update(lambda image: network(image)[:, :2], samples(1))
    with pytest.raises(ValueError, match=r"sample 'folder/0': marks must hold classes in \[0, 3\)"):
        labeler.update(network, [("folder/0", samples(1)[0][1], samples(1)[0][2] - 1)])


@pytest.mark.parametrize(
    ("epoch", "epochs", "error", "message"),
    [
        ("1", 12, TypeError, "epoch must be an integer >= 0, got str '1'"),
        (1.5, 12, TypeError, r"epoch must be an integer >= 0, got float 1\.5"),
        (-1, 12, ValueError, "epoch must be an integer >= 0, got -1"),
        (1, None, TypeError, "epochs must be an integer >= 1, got NoneType None"),
        (1, -1, ValueError, "epochs must be an integer >= 1, got -1"),
    ],
)
def test_epochs_are_checked(
    tmp_path: Path, epoch: object, epochs: object, error: type[Exception], message: str
) -> None:
    """-1 epochs is what Lightning calls a training without an end."""
    with pytest.raises(error, match=f"PseudoLabeler.due: {message}"):
        PseudoLabeler(tmp_path, 3).due(epoch, epochs)  # type: ignore[arg-type]


def test_arguments_that_are_no_function_and_no_samples(tmp_path: Path) -> None:
    labeler = PseudoLabeler(tmp_path, 3)
    with pytest.raises(TypeError, match=r"PseudoLabeler\.update: predict must be a module or a function .*, got list"):
        labeler.update(samples(1), network)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"PseudoLabeler\.update: samples must be an iterable of .*, got NoneType"):
        labeler.update(network, None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"PseudoLabeler\.update: samples must be an iterable of .*, got int"):
        labeler.update_from(3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "change", "error", "message"),
    [
        (0, lambda image: image * 255, ValueError, r"image must be in \[0, 1\]"),
        (0, lambda image: image * float("nan"), ValueError, "got NaN values"),
        (0, lambda image: image[None], ValueError, r"image must be \(D, H, W\), got shape \(1, 3, 48, 64\)"),
        (0, lambda image: image.numpy(), TypeError, "image must be a tensor, got ndarray"),
        (1, lambda marks: marks[None], ValueError, r"marks must be \(H, W\), got shape \(1, 48, 64\)"),
        (1, lambda marks: marks.numpy(), TypeError, "marks must be a tensor, got ndarray"),
        (1, lambda marks: marks.float(), TypeError, "marks must be an integer tensor"),
    ],
)
def test_wrong_samples_are_named(
    tmp_path: Path, part: int, change: Callable, error: type[Exception], message: str
) -> None:
    key, *parts = samples(1)[0]
    parts[part] = change(parts[part])
    with pytest.raises(error, match=f"PseudoLabeler.update, sample 'folder/0': .*{message}"):
        PseudoLabeler(tmp_path, 3).update(network, [(key, *parts)])


def test_samples_of_other_parts_are_described(tmp_path: Path) -> None:
    """Such as those of a data set without names."""
    key, image, marks = samples(1)[0]
    with pytest.raises(
        TypeError, match=r"samples must be \(key, image, marks\), .*, got 2 parts, Tensor \(3, .*, Tensor"
    ):
        PseudoLabeler(tmp_path, 3).update(network, [(image, marks)])
    with pytest.raises(TypeError, match=r"samples must be \(key, image, marks\), with a name as key, got dict"):
        PseudoLabeler(tmp_path, 3).update(network, [{"image": image, "marks": marks}])
    with pytest.raises(TypeError, match=r"\(key, image, marks, probs\), with a name as key, got 3 parts, str, Tensor"):
        PseudoLabeler(tmp_path, 3).update_from([(key, image, marks)])


@pytest.mark.parametrize(
    "state", ["{", "[]", "{}", '{"round": 1, "fractions": 0.5}', '{"round": "a", "fractions": []}']
)
def test_a_damaged_state_is_named(tmp_path: Path, state: str) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "state.json").write_text(state)
    with pytest.raises(ValueError, match=r"PseudoLabeler: .*state\.json must be the state of a PseudoLabeler, got"):
        PseudoLabeler(tmp_path, 3)


def test_marks_that_are_arrays_are_refused_before_the_first_round_too(tmp_path: Path) -> None:
    labeler = PseudoLabeler(tmp_path, 3)
    for _ in range(2):
        with pytest.raises(TypeError, match=r"PseudoLabeler\.get: marks must be a tensor, got ndarray"):
            labeler.get("folder/0", samples(1)[0][2].numpy())  # type: ignore[arg-type]
        labeler.update(network, samples(1))


def test_logits_that_are_not_finite_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="sample 'folder/0': logits must be finite, got NaN values"):
        PseudoLabeler(tmp_path, 3).update(lambda image: network(image) * float("nan"), samples(1))


def test_a_uint8_image_gives_the_labels_of_its_float_form(tmp_path: Path) -> None:
    (key, image, marks) = samples(1)[0]
    pixels = (image * 255).round().byte()
    labels = []
    for k, form in enumerate((pixels, pixels.float() / 255, pixels.permute(1, 2, 0).contiguous().permute(2, 0, 1))):
        labeler = PseudoLabeler(tmp_path / str(k), 3)
        labeler.update(network, [(key, form, marks)])
        labels.append(labeler[key])
    assert torch.equal(labels[0], labels[1]) and torch.equal(labels[0], labels[2])


def test_marks_without_an_unmarked_pixel_are_reported(tmp_path: Path) -> None:
    """Such as those of a tool that stores 0 where nothing was drawn."""
    zero = [(key, image, marks.masked_fill(marks == 255, 0)) for key, image, marks in samples(2)]
    with pytest.warns(UserWarning, match=r"update: every pixel is marked, 9\d% with class 0: .* ignore_index 255"):
        PseudoLabeler(tmp_path, 3).update(network, zero)


def test_samples_without_any_mark_are_refused_and_a_single_one_may_hold_all_classes(tmp_path: Path) -> None:
    bare = [(key, image, torch.full_like(marks, 255)) for key, image, marks in samples(3)]
    with pytest.raises(ValueError, match="update: samples must hold marks, got 255, which is ignore_index, at every"):
        PseudoLabeler(tmp_path / "none", 3).update(network, bare)
    labeler = PseudoLabeler(tmp_path / "one", 3)
    labeler.update(network, [*samples(3)[:2], bare[2]])
    assert labeler[bare[2][0]].unique().tolist() == [0, 1, 2]


def test_probabilities_in_place_of_logits_are_reported_once(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="PseudoLabeler.update: logits are in .* before its softmax") as caught:
        PseudoLabeler(tmp_path, 3).update(lambda image: network(image).softmax(1), samples(3))
    assert len({str(warning.message) for warning in caught}) == 1


@pytest.mark.parametrize("key", ["./a", "a//b", "a/", "/a", "a/../b", ""])
def test_keys_that_name_a_file_in_two_ways_are_refused(tmp_path: Path, key: str) -> None:
    (_, image, marks) = samples(1)[0]
    with pytest.raises(ValueError, match="keys must be relative paths without"):
        PseudoLabeler(tmp_path, 3).update(network, [(key, image, marks)])
