"""The options of a matting Laplacian, for functions that take an image or an operator."""

from __future__ import annotations

import sys
from typing import NamedTuple

from torch import Tensor

from closedform_wsss._checks import check_image, check_option, check_radius
from closedform_wsss.laplacian.kinds import KINDS, Kind, check_eps
from closedform_wsss.laplacian.matting_laplacian import MattingLaplacian

EPS = 1e-7  # Levin et al.


class LaplacianOptions(NamedTuple):
    """kind, eps and radius of a :class:`MattingLaplacian`."""

    kind: Kind
    eps: float
    radius: int

    def fitting(self, fn: str, height: int, width: int) -> LaplacianOptions:
        """The same, with windows that fit the image."""
        check_radius(fn, self.radius, height, width)
        return self


def check_laplacian_options(
    fn: str,
    laplacian: MattingLaplacian | None,
    kind: Kind | None,
    eps: float | None,
    radius: int | None,
    *,
    default_eps: float,
) -> LaplacianOptions:
    """The options given, and "closed_form", ``default_eps`` and 1 for None.

    Raises:
        TypeError, ValueError: As of :class:`MattingLaplacian`, in the caller's name; or an option is given beside an
            operator, which has its own.
    """
    if laplacian is not None:
        own = LaplacianOptions(laplacian.kind, laplacian.eps, laplacian.radius)
        for name, value, its in zip(LaplacianOptions._fields, (kind, eps, radius), own, strict=True):
            if value is not None:
                raise ValueError(
                    f"{fn}: {name} must be left out where image is a MattingLaplacian, which has {name}={its!r}, "
                    f"got {value!r}"
                )
        return own
    kind = "closed_form" if kind is None else kind
    check_option(fn, "kind", kind, KINDS)
    eps = check_eps(fn, default_eps if eps is None else eps)
    return LaplacianOptions(kind, eps, check_radius(fn, 1 if radius is None else radius, sys.maxsize, sys.maxsize))


def as_laplacian(
    fn: str,
    image: Tensor | MattingLaplacian,
    kind: Kind | None,
    eps: float | None,
    radius: int | None,
) -> MattingLaplacian:
    """The operator of an image ``(N, D, H, W)``, or the operator itself."""
    if isinstance(image, MattingLaplacian):
        check_laplacian_options(fn, image, kind, eps, radius, default_eps=EPS)
        return image
    image = check_image(fn, image)
    options = check_laplacian_options(fn, None, kind, eps, radius, default_eps=EPS)
    return MattingLaplacian.of_checked(image, *options.fitting(fn, *image.shape[2:]))
