"""The memory layout of a stencil, as ``csrc/common/stencil_layout.h`` explains it."""

from __future__ import annotations

from torch import Tensor

TAPS = [(0, 1), (0, 2)] + [(dy, dx) for dy in (1, 2) for dx in range(-2, 3)]
TOP_ROWS = 2
LEFT_PAD = 16


def stencil_pitch(width: int) -> int:
    """Columns of a stencil's rows."""
    lines = (width + 2 * LEFT_PAD + 15) // 16
    return 16 * (lines + 1 if lines % 8 == 0 else lines)


def stencil_shape(n: int, h: int, w: int) -> tuple[int, int, int, int]:
    """``(N, H + 2, 12, P)``."""
    return n, h + TOP_ROWS, len(TAPS), stencil_pitch(w)


def stencil_planes(stencil: Tensor, w: int) -> Tensor:
    """The coefficients as a view ``(N, 12, H, W)``: entry k of pixel (y, x) is L[(y, x), (y + dy_k, x + dx_k)]."""
    return stencil[:, TOP_ROWS:, :, LEFT_PAD : LEFT_PAD + w].permute(0, 2, 1, 3)
