"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings

_INSIDE = ("closedform_wsss", "torch")


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn at the innermost line outside of this package and of torch, which calls operators by frames of its own."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _INSIDE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level + 1)
