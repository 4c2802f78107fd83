"""Checks of what a lattice is made from."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from closedform_wsss._checks import check_positive

MOST_CHANNELS = 13
# Coordinates of lattice points must fit into 32 bits. Below these, a pixel has no neighbours in any case.
LEAST_POSITION_SIGMA, LEAST_COLOR_SIGMA = 1e-3, 1e-4
# Of colours in [0, 1]. A larger one, such as the srgb of pydensecrf, would not tell black from white.
MOST_COLOR_SIGMA = 1.0


def check_channels(fn: str, image: Tensor, cure: str = "") -> None:
    """Few channels: a pixel has D + 3 lattice points around it. ``cure``: another one, of a function that has one."""
    if image.shape[1] > MOST_CHANNELS:
        raise ValueError(
            f"{fn}: image must have at most {MOST_CHANNELS} channels, got shape {tuple(image.shape)}: pass three "
            f"channels of it, or its principal components{cure}"
        )


def check_sigmas(fn: str, positions: dict[str, Any], colors: dict[str, Any]) -> None:
    """Standard deviations in pixels, and for colours in [0, 1]."""
    for values, least in ((positions, LEAST_POSITION_SIGMA), (colors, LEAST_COLOR_SIGMA)):
        for name, value in values.items():
            if check_positive(fn, name, value) < least:
                raise ValueError(
                    f"{fn}: {name} must be a number >= {least}, got {value!r}: every pixel would be alone in its kernel"
                )
    for name, value in colors.items():
        if value > MOST_COLOR_SIGMA:
            raise ValueError(
                f"{fn}: {name} must be a number <= 1, for colours in [0, 1], got {value!r}: divide by 255, as in "
                f"{name}=13 / 255"
            )
