"""Marks, images and maps of different sizes are resized; transposed and cropped ones are refused by every function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from closedform_wsss.functional import (
    asam,
    calibrate_cam,
    closed_form_loss,
    dense_crf,
    dense_crf_loss,
    mark_loss,
    matting_filter,
    refine_cam,
    refine_prediction,
    soft_slic,
    superpixel_consistency_loss,
    test_time_augmentation,
)
from closedform_wsss.training import PseudoLabeler, SelfTrainingLoss

Size = tuple[int, int]
SIZE = (16, 24)


def maps(size: Size) -> Tensor:
    return torch.full((1, 2, *size), 0.25)


def image(size: Size) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))


def marks(size: Size) -> Tensor:
    target = torch.full((1, *size), 255)
    target[:, 2], target[:, 6] = 0, 1
    return target


def label_round(size: Size, size_of_image: Size, size_of_maps: Size, folder: Path) -> None:
    labeler = PseudoLabeler(num_classes=2, folder=folder)
    samples = [("a", image(size_of_image)[0], marks(size)[0])]
    labeler.update(lambda pixels: torch.zeros(1, 2, *size_of_maps), samples)


# (sizes of marks and image, both with maps of SIZE) -> None
MARKS: dict[str, Callable[[Size, Path], object]] = {
    "closed_form_loss": lambda s, _: closed_form_loss(maps(SIZE), marks(s), image(SIZE)),
    "mark_loss": lambda s, _: mark_loss(maps(SIZE), marks(s), image(SIZE)),
    "matting_filter": lambda s, _: matting_filter(maps(SIZE), image(SIZE), target=marks(s)),
    "refine_prediction": lambda s, _: refine_prediction(maps(SIZE), image(SIZE), marks=marks(s)),
    "superpixel_consistency_loss": lambda s, _: superpixel_consistency_loss(
        maps(SIZE), marks(s), soft_slic(image(SIZE), cell_size=4)
    ),
    "SelfTrainingLoss": lambda s, _: SelfTrainingLoss(2, total_steps=9)(maps(SIZE), marks(s), image(SIZE)),
    "PseudoLabeler": lambda s, folder: label_round(s, SIZE, SIZE, folder),
}
IMAGES: dict[str, Callable[[Size, Path], object]] = {
    "closed_form_loss": lambda s, _: closed_form_loss(maps(SIZE), None, image(s)),
    "mark_loss": lambda s, _: mark_loss(maps(SIZE), marks(SIZE), image(s)),
    "matting_filter": lambda s, _: matting_filter(maps(SIZE), image(s)),
    "refine_prediction": lambda s, _: refine_prediction(maps(SIZE), image(s)),
    "dense_crf": lambda s, _: dense_crf(maps(SIZE), image(s)),
    "dense_crf_loss": lambda s, _: dense_crf_loss(maps(SIZE), image(s)),
    "calibrate_cam": lambda s, _: calibrate_cam(maps(SIZE), image(s)),
    "asam": lambda s, _: asam(maps(SIZE), soft_slic(image(s), cell_size=4)),
    "test_time_augmentation": lambda s, _: test_time_augmentation(lambda x, _: x, maps(SIZE), image(s)),
    "refine_cam": lambda s, _: refine_cam(maps(SIZE), image(s)),
    "SelfTrainingLoss": lambda s, _: SelfTrainingLoss(2, total_steps=9)(maps(SIZE), marks(SIZE), image(s)),
    "PseudoLabeler": lambda s, folder: label_round(SIZE, SIZE, s, folder),
}
CASES = [*((name, call, "marks") for name, call in MARKS.items()), *((n, c, "image") for n, c in IMAGES.items())]


@pytest.mark.parametrize(("name", "call", "what"), CASES, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize(
    ("size", "message"),
    [((24, 16), "looks transposed"), ((16, 20), "looks cropped or padded"), ((12, 24), "looks cropped or padded")],
)
def test_what_no_resize_explains_is_refused(name, call, what, size, message, tmp_path):
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        call(size, tmp_path)


@pytest.mark.parametrize(("name", "call", "what"), CASES, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("size", [SIZE, (32, 48), (33, 49), (16, 23), (17, 24), (11, 17), (40, 40)])
def test_other_sizes_are_resized(name, call, what, size, tmp_path):
    """Twice as large, with rounding, smaller, and stretched to a square."""
    call(size, tmp_path)


@pytest.mark.parametrize("turned", ["target", "image", "logits"])
def test_the_cure_turns_the_one_that_is_unlike_the_others(turned):
    sizes = {name: SIZE[::-1] if name == turned else SIZE for name in ("target", "image", "logits")}
    with pytest.raises(ValueError, match=rf"looks transposed: pass {turned}\.transpose\(-1, -2\)"):
        mark_loss(maps(sizes["logits"]), marks(sizes["target"]), image(sizes["image"]))


def test_a_square_or_a_small_map_is_not_taken_for_a_mistake():
    closed_form_loss(maps((4, 6)), None, image((4, 3)))  # one side is equal by chance
    closed_form_loss(maps((16, 16)), marks((16, 16)), image((16, 16)))
