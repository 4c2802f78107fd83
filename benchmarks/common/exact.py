"""Exact mattes by a sparse direct solver in float64: the criterion between two iterative solvers."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg

from closedform_wsss import MattingLaplacian
from closedform_wsss.io import from_array

# Converting to CSR warns once that torch calls the layout beta; nothing here depends on what may change.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)

Matte = np.ndarray[Any, np.dtype[np.float64]]

# A marked pixel is held so firmly (mark_weight 100 against entries below 10) that what happens on the unknown
# side fades by a factor of ten and more with each pixel into the marks. Beyond this many pixels the marks are
# taken as kept exactly; the residual on the whole image, which is returned, shows that nothing is lost.
BAND = 8


def tight_mattes(
    image: Matte, marks: np.ndarray[Any, np.dtype[np.int64]], mark_weight: float, unmarked: int
) -> tuple[Matte, Matte, float]:
    """The exact mattes of image ``(H, W, 3)`` and marks ``(H, W)`` in {0, 1, unmarked}, clipped to [0, 1].

    Returns:
        The solution of (L + mark_weight D) a = mark_weight D s; that with the marks fixed; and the relative
        residual of the first on the whole image (before clipping).
    """
    laplacian = MattingLaplacian(from_array(image)[None]).to_scipy(0)  # float64 in, float64 through and through
    known = marks != unmarked
    held = scipy.sparse.diags(known.reshape(-1) * mark_weight)
    system = (laplacian + held).tocsr()
    goal = (known & (marks == 1)).astype(np.float64).reshape(-1)
    right = mark_weight * goal

    band = scipy.ndimage.binary_dilation(~known, np.ones((3, 3)), iterations=BAND).reshape(-1)
    soft = solve_free(system, right, goal, band)
    hard = solve_free(laplacian.tocsr(), np.zeros_like(right), goal, ~known.reshape(-1))
    residual = float(np.linalg.norm(system @ soft - right) / np.linalg.norm(right))
    shape = marks.shape
    return soft.clip(0, 1).reshape(shape), hard.clip(0, 1).reshape(shape), residual


def solve_free(
    system: scipy.sparse.csr_array, right: Matte, fixed: Matte, free: np.ndarray[Any, np.dtype[np.bool_]]
) -> Matte:
    """Solve for the free pixels, the others fixed."""
    rows = system[free]
    inner = rows[:, free].tocsc()
    factor = scipy.sparse.linalg.splu(
        inner, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    b = right[free] - rows[:, ~free] @ fixed[~free]
    x = factor.solve(b)
    x += factor.solve(b - inner @ x)  # one step of refinement: the system is badly conditioned
    result = fixed.copy()
    result[free] = x
    return result
