"""The stencil: the kernel against its reference implementation. (Both against dense oracles: test_laplacian.py.)"""

import pytest
import torch
from torch.library import opcheck

from closedform_wsss import _C, _ops, _reference
from closedform_wsss._common import stencil_layout

SIZES = [(3, 3), (3, 40), (40, 3), (4, 5), (17, 31), (64, 16), (65, 129), (130, 33)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("learning_based", [False, True])
def test_kernel_agrees_with_twin(level, size, channels, dtype, learning_based):
    image = torch.rand(2, channels, *size, dtype=dtype)
    if level == "cuda_runner" and channels > (3 if learning_based else 4):
        with pytest.raises(ValueError, match="at most 4 channels"):
            _ops.matting_stencil(image, 1e-5, learning_based)
        return
    tolerance = 1e-6 if dtype == torch.float32 else 1e-11
    references = _reference.matting_stencil(image, 1e-5, learning_based)
    for ours, reference in zip(_ops.matting_stencil(image, 1e-5, learning_based), references, strict=True):
        assert ours.shape == reference.shape
        torch.testing.assert_close(ours, reference, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (2, 5), (2, 2), (40, 1), (5, 2)])
@pytest.mark.parametrize("learning_based", [False, True])
def test_without_a_window_all_is_zero(level, size, learning_based):
    image = torch.rand(2, 3, *size)
    references = _reference.matting_stencil(image, 1e-5, learning_based)
    for ours, reference in zip(_ops.matting_stencil(image, 1e-5, learning_based), references, strict=True):
        assert torch.equal(ours, reference) and not ours.any()


def test_margins_are_zero(level):
    """Readers rely on it: a coefficient whose neighbour is outside the image is zero."""
    h, w = 9, 21
    stencil = _ops.matting_stencil(torch.rand(1, 3, h, w), 1e-7, False)[0]
    inside = torch.zeros_like(stencil, dtype=torch.bool)
    planes = stencil_layout.stencil_planes(inside, w)
    for k, (dy, dx) in enumerate(stencil_layout.TAPS):
        planes[:, k, : h - dy, max(-dx, 0) : w - max(dx, 0)] = True
    assert (stencil[~inside] == 0).all()
    assert (stencil[inside] != 0).float().mean() > 0.99


def test_layout_is_the_kernels():
    for width in (3, 16, 95, 96, 97, 321, 480, 512, 2048):
        assert stencil_layout.stencil_pitch(width) == _C.stencil_pitch(width)
    assert (len(stencil_layout.TAPS), stencil_layout.TOP_ROWS, stencil_layout.LEFT_PAD) == (
        _C.TAPS,
        _C.TOP_ROWS,
        _C.LEFT_PAD,
    )


def test_at_most_64_bytes_a_pixel():
    n, h, w = 1, 321, 321
    assert _ops.matting_stencil(torch.rand(n, 3, h, w), 1e-7, False)[0].nbytes / (n * h * w) < 64


def test_any_strides(level):
    image = torch.rand(2, 3, 12, 14)
    expected = _ops.matting_stencil(image, 1e-7, False)[0]
    assert torch.equal(_ops.matting_stencil(image.to(memory_format=torch.channels_last), 1e-7, False)[0], expected)
    assert torch.equal(_ops.matting_stencil(image.mT.contiguous().mT, 1e-7, False)[0], expected)
    assert torch.equal(_ops.matting_stencil(image.repeat_interleave(2, -1)[..., ::2], 1e-7, False)[0], expected)


def test_same_bits_for_any_number_of_threads(threads):
    image = torch.rand(1, 3, 200, 50)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(_ops.matting_stencil(image, 1e-7, False)[0])
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_opcheck():
    opcheck(_ops.matting_stencil.default, (torch.rand(2, 3, 7, 9), 1e-7, False))
    opcheck(_ops.matting_stencil.default, (torch.rand(1, 1, 3, 3, dtype=torch.float64), 1e-7, True))
