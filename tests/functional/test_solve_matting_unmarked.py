"""Images without marks in a batch of solve_matting."""

import subprocess
import sys

import pytest
import torch
from helpers.mattes import dense_mattes, random_marks

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import solve_matting
from closedform_wsss.laplacian import KINDS


def volume_with_bare_slices(dtype, layout):
    """Five slices, of which the first, the middle and the last have no mark."""
    image = torch.rand(5, 1, 18, 20, dtype=torch.float64)
    image = (image * 255).byte() if dtype == torch.uint8 else image.to(dtype)
    if layout == "channels last":
        image = image.contiguous(memory_format=torch.channels_last)
    elif layout == "permuted":  # as a volume (H, W, S) of nibabel
        image = image.permute(2, 3, 0, 1).contiguous().permute(2, 3, 0, 1)
    target = random_marks((18, 20), 3, n=5, share=0.05)
    target[[0, 2, 4]] = 255
    return image, target, torch.tensor([1, 3])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float64])
@pytest.mark.parametrize("layout", ["contiguous", "channels last", "permuted"])
@pytest.mark.parametrize("kind", KINDS)
def test_unmarked_images_are_skipped_and_change_no_other(dtype, layout, kind):
    image, target, kept = volume_with_bare_slices(dtype, layout)
    solution = solve_matting(target, image, kind=kind, eps=1e-4, unmarked="skip")
    alone = solve_matting(target[kept], image[kept], kind=kind, eps=1e-4)
    assert solution.skipped.tolist() == [True, False, True, False, True] and not alone.skipped.any()
    assert torch.equal(solution.alpha[kept], alone.alpha)
    assert (solution.alpha[solution.skipped] == 0).all()
    assert (solution.iterations, solution.error, solution.residual) == (alone.iterations, alone.error, alone.residual)
    for n in kept.tolist():
        pixels = image[n].double() / 255 if dtype == torch.uint8 else image[n]
        expected = dense_mattes(pixels, target[n], 3, eps=1e-4, kind=kind)
        assert (solution.alpha[n].double() - expected).abs().max() < 1e-3


def test_unmarked_images_are_skipped_of_an_operator_with_a_start():
    image, target, kept = volume_with_bare_slices(torch.float32, "contiguous")
    laplacian, start = MattingLaplacian(image, eps=1e-4, radius=2), torch.rand(5, 3, 18, 20)
    solution = solve_matting(target, laplacian, initial=start, unmarked="skip")
    alone = solve_matting(target[kept], image[kept], eps=1e-4, radius=2, initial=start[kept])
    assert torch.equal(solution.alpha[kept], alone.alpha) and (solution.alpha[0] == 0).all()


def test_images_of_weight_zero_are_skipped():
    """Marked, but with a mark_weight of 0 at every mark; also soft values."""
    image, values = torch.rand(3, 1, 9, 10, dtype=torch.float64), torch.rand(3, 2, 9, 10, dtype=torch.float64)
    weight = torch.rand(3, 9, 10, dtype=torch.float64)
    weight[1] = 0
    for given in (values, random_marks((9, 10), 2, n=3)):
        solution = solve_matting(given, image, mark_weight=weight, eps=1e-4, unmarked="skip")
        alone = solve_matting(given[::2], image[::2], mark_weight=weight[::2], eps=1e-4)
        assert solution.skipped.tolist() == [False, True, False]
        assert torch.equal(solution.alpha[::2], alone.alpha) and (solution.alpha[1] == 0).all()


def test_nothing_is_marked():
    solution = solve_matting(torch.full((2, 8, 9), 255), torch.rand(2, 1, 8, 9), num_classes=4, unmarked="skip")
    assert solution.alpha.shape == (2, 4, 8, 9) and (solution.alpha == 0).all() and solution.skipped.all()
    assert solution.converged and (solution.iterations, solution.error, solution.residual) == (0, 0, 0)


def test_skipping_is_for_images_without_marks_only():
    """An image whose every pixel is marked is a mistake, whatever ``unmarked`` says."""
    target = torch.zeros(2, 8, 9, dtype=torch.long)
    target[0] = 255
    with pytest.raises(ValueError, match=r"every image needs unmarked pixels, .* got none in image 1"):
        solve_matting(target, torch.rand(2, 1, 8, 9), unmarked="skip")


def test_figures_of_nothing_where_torch_makes_tensors_elsewhere(tmp_path):
    """The package is imported after a user has chosen the GPU; the meta device stands in for one."""
    program = (
        "import torch; torch.set_default_device('meta'); from closedform_wsss import solve_matting;"
        "image, marks = torch.zeros(1, 3, 8, 8, device='cpu'), torch.full((1, 8, 8), 255, device='cpu');"
        "print(solve_matting(marks, image, num_classes=2, unmarked='skip'))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert "iterations=0, error=0, converged=True" in done.stdout, done.stderr
