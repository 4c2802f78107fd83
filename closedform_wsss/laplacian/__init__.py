"""Matting Laplacians, matrix-free: the operator and its two implementations, a stencil and box sums over windows."""

from closedform_wsss.laplacian.kinds import KINDS, Kind
from closedform_wsss.laplacian.laplacian_options import LaplacianOptions, as_laplacian, check_laplacian_options
from closedform_wsss.laplacian.matting_laplacian import MattingLaplacian

__all__ = ["KINDS", "Kind", "LaplacianOptions", "MattingLaplacian", "as_laplacian", "check_laplacian_options"]
