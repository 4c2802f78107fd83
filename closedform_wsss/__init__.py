"""Losses and post-processors for weakly-supervised semantic segmentation."""

from closedform_wsss import _openmp as _openmp  # before the extension, which uses the libgomp that torch brings

try:
    from closedform_wsss import _C as _C
except ImportError as error:
    if "GOMP" in str(error):  # an undefined symbol
        raise ImportError(
            "closedform_wsss: libgomp.so.1, GCC's OpenMP, is missing, and this torch does not bring it: install the "
            "system's (on Debian and Ubuntu the package libgomp1)"
        ) from error
    raise ImportError(
        "closedform_wsss: the compiled extension closedform_wsss._C is missing. In a checkout of the source, run "
        "`pip install .` and start Python in another folder, or `pip install -e .`"
    ) from error

from closedform_wsss import cams, functional, io, metrics, nn, training
from closedform_wsss._build import build_info
from closedform_wsss._checks import set_value_checks
from closedform_wsss._matte import Matte, matte
from closedform_wsss.functional import (
    ConvergenceWarning,
    Solution,
    asam,
    closed_form_loss,
    mark_loss,
    matting_filter,
    pseudo_labels,
    refine_cam,
    soft_slic,
    solve_matting,
    suggest_settings,
    superpixel_consistency_loss,
)
from closedform_wsss.laplacian import MattingLaplacian
from closedform_wsss.superpixels import Superpixels

__version__: str = _C.version

__all__ = [
    "ConvergenceWarning",
    "Matte",
    "MattingLaplacian",
    "Solution",
    "Superpixels",
    "asam",
    "build_info",
    "cams",
    "closed_form_loss",
    "functional",
    "io",
    "mark_loss",
    "matte",
    "matting_filter",
    "metrics",
    "nn",
    "pseudo_labels",
    "refine_cam",
    "set_value_checks",
    "soft_slic",
    "solve_matting",
    "suggest_settings",
    "superpixel_consistency_loss",
    "training",
]
