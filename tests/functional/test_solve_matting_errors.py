"""What solve_matting says of wrong arguments."""

import pytest
import torch
from helpers.mattes import random_marks

from closedform_wsss.functional import solve_matting

IMAGE, MARKS = torch.rand(1, 3, 8, 9), random_marks((8, 9), 3)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"marks": torch.full((1, 8, 9), 255)},
            ValueError,
            r"every image needs at least one marked pixel, got none in image 0 of the batch: "
            r"unmarked=\"skip\" leaves such images out",
        ),
        ({"unmarked": 0}, ValueError, r"unmarked must be one of 'error', 'skip', got 0"),
        (
            {"marks": MARKS[:, :4]},
            ValueError,
            r"marks must have the image's size \(8, 9\), got shape \(1, 4, 9\)",
        ),
        ({"marks": MARKS[0]}, ValueError, r"marks must be \(N, H, W\) with N = 1"),
        (
            {"marks": MARKS.float()},
            ValueError,
            r"marks must be \(N, H, W\) integers or soft .*pass marks.long\(\) if the values are classes",
        ),
        ({"marks": MARKS.numpy()}, TypeError, r"marks must be an integer tensor \(N, H, W\), got ndarray"),
        (
            {"num_classes": 2},
            ValueError,
            r"marks must hold classes in \[0, 2\) or ignore_index 255, got \[2\]",
        ),
        ({"num_classes": 0}, ValueError, r"num_classes must be an integer >= 1, got 0"),
        ({"num_classes": 300}, ValueError, r"ignore_index must not be a class, got 255 with 300 classes"),
        (
            {"marks": MARKS - 1},
            ValueError,
            r"marks must hold classes >= 0 or ignore_index 255, got \[-1\]",
        ),
        ({"mark_weight": -1.0}, ValueError, r"mark_weight must be a finite number > 0, got -1.0"),
        ({"mark_weight": torch.ones(8, 9)}, ValueError, r"mark_weight must be a number or \(N, H, W\)"),
        ({"mark_weight": -torch.ones(1, 8, 9)}, ValueError, r"mark_weight must be >= 0, got -1"),
        ({"mark_weight": torch.zeros(1, 8, 9)}, ValueError, r"at least one marked pixel"),
        ({"tol": 0.0}, ValueError, r"tol must be a finite number > 0, got 0.0"),
        ({"max_iter": 0}, ValueError, r"max_iter must be an integer >= 1, got 0"),
        ({"callback": 3}, TypeError, r"callback must be a function of iterations and error, got int"),
        (
            {"initial": torch.zeros(1, 2, 8, 9)},
            ValueError,
            r"initial must be \(N, C, H, W\) = \(1, 3, 8, 9\)",
        ),
        ({"initial": torch.full((1, 3, 8, 9), torch.nan)}, ValueError, r"initial must be finite, got NaN"),
        ({"marks": torch.full((1, 3, 8, 9), torch.nan)}, ValueError, r"marks must be finite, got NaN"),
        (
            {"marks": torch.rand(1, 3, 8, 9), "num_classes": 2},
            ValueError,
            r"num_classes must be the 3 channels",
        ),
    ],
)
def test_bad_input(changes, error, message):
    arguments = {"image": IMAGE, "marks": MARKS} | changes
    with pytest.raises(error, match="solve_matting: .*" + message):
        solve_matting(**arguments)


def test_arguments_in_the_wrong_order_are_named():
    marks = torch.full((1, 6, 8), 255)
    marks[:, 0], marks[:, -1] = 0, 1
    with pytest.raises(ValueError, match=r"the marks come first, then the image, got .*: swap them"):
        solve_matting(torch.rand(1, 3, 6, 8), marks)
