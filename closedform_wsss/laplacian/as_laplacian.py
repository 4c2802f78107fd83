"""The operator of an argument that is an image or an operator."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._checks import check_image, check_option, check_positive, check_radius
from closedform_wsss.laplacian.matting_laplacian import MattingLaplacian
from closedform_wsss.laplacian.window_operator import KINDS, Kind


def as_laplacian(
    caller: str,
    image: Tensor | MattingLaplacian,
    kind: Kind | None,
    eps: float | None,
    radius: int | None,
    *,
    default_eps: float = 1e-7,
) -> MattingLaplacian:
    """The operator of an image, or the operator itself.

    Args:
        caller: The public function, for messages.
        image: ``(N, D, H, W)``, or an operator.
        kind, eps, radius: Options of the operator to make. None: "closed_form", ``default_eps``, 1.
        default_eps: The eps of an operator to make, if it is None.

    Raises:
        TypeError, ValueError: As of :class:`MattingLaplacian`, in the caller's name; or an option is given for an
            operator, which has its own.
    """
    if isinstance(image, MattingLaplacian):
        for name, value, own in (("kind", kind, image.kind), ("eps", eps, image.eps), ("radius", radius, image.radius)):
            if value is not None:
                raise ValueError(
                    f"{caller}: {name} must be left out where image is a MattingLaplacian, which has {name}={own!r}, "
                    f"got {value!r}"
                )
        return image
    image = check_image(caller, image)
    kind = "closed_form" if kind is None else kind
    check_option(caller, "kind", kind, KINDS)
    eps = check_positive(caller, "eps", default_eps if eps is None else eps)
    radius = check_radius(caller, 1 if radius is None else radius, *image.shape[2:])
    return MattingLaplacian(image, kind=kind, eps=eps, radius=radius)
