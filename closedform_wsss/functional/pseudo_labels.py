"""From class activation maps to pseudo-labels."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from closedform_wsss._checks import (
    as_compute_dtype,
    as_int64,
    check_class_present,
    check_integer,
    check_maps,
    check_positive,
    check_probability,
    check_unit_range,
    reads_values,
)


def background_score(cam: Tensor, *, power: float) -> Tensor:
    r"""The score of the background, :math:`(1 - \max_c m_c)^\alpha`.

    Maps of all classes, the background first: ``torch.cat([background_score(cam, power=4), cam], 1)``.

    Args:
        cam: ``(N, C, H, W)`` floating point in [0, 1], foreground classes only.
        power: :math:`\alpha` > 0. A larger one gives more pixels to the foreground; 4 to 32 are common.

    Returns:
        ``(N, 1, H, W)``, float32 unless ``cam`` is float64; 1 for C = 0. Differentiable.

    Raises:
        TypeError: cam is not floating point, or power is not a number.
        ValueError: cam is not ``(N, C, H, W)``, or has values outside [0, 1] or NaN (read on the CPU only, see
            :func:`~closedform_wsss.set_value_checks`); power is not above 0.

    Reference:
        Ahn, Kwak: Learning pixel-level semantic affinity with image-level supervision. CVPR 2018, equation (2).

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import background_score
        >>> cam = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 3)
        >>> background_score(cam, power=2).flatten().tolist()
        [1.0, 0.25, 0.0]
    """
    cam = _checked("background_score", cam)
    power = check_positive("background_score", "power", power)
    left = (1 - _strongest(cam)).clamp_min(0)
    # The derivative of a power below 1 is infinite at 0, so zeros are left out.
    nothing = left == 0
    return torch.where(nothing, 0, torch.where(nothing, 1, left) ** power)


def pseudo_labels(
    cam: Tensor,
    *,
    threshold: float | None = None,
    power: float | None = None,
    margin: float = 0.0,
    class_present: Tensor | None = None,
    classes: Sequence[int] | Tensor | None = None,
    ignore_index: int = 255,
) -> Tensor:
    r"""Labels from class activation maps: the best of the background and the classes at every pixel.

    The score of class c is :math:`s_c = m_c`; that of the background is

    .. math:: s_0 = t \quad\text{(threshold)} \qquad\text{or}\qquad s_0 = (1 - \max_c m_c)^\alpha \quad\text{(power)}.

    A pixel gets the label with the largest score; of equal ones the background, then the first class. If the largest
    score exceeds the second largest by less than ``margin``, the pixel is doubtful and gets ``ignore_index``. For a
    single class and a threshold these are the pixels between :math:`t` - margin and :math:`t` + margin.

    Without a margin, ``power`` gives the same labels as the threshold t with :math:`t = (1 - t)^\alpha`: 0.38 for the
    power 2, 0.28 for 4 and 0.08 for 32.

    Args:
        cam: ``(N, C, H, W)`` floating point in [0, 1], foreground classes only.
        threshold: :math:`t` in [0, 1]. Give this or ``power``. A good one depends on the maps: measure
            it on labelled images with ``closedform-wsss eval``.
        power: :math:`\alpha` > 0; see :func:`background_score`.
        margin: In [0, 1]. Default 0: no pixel is doubtful.
        class_present: ``(N, C)`` bool, image-level labels: the channels of absent classes are left out. Default all.
        classes: ``(C,)`` integers, the label of each channel, >= 1. Default 1 to C.
        ignore_index: Label of doubtful pixels, not a class. Default 255.

    Returns:
        ``(N, H, W)`` int64: 0 background, ``classes[c]`` (c + 1) where channel c wins, or ``ignore_index``.

    Raises:
        TypeError: cam is not floating point, class_present not bool, classes not integers, or an option not a number.
        ValueError: A shape or device does not fit; cam has values outside [0, 1] or NaN (read on the CPU only, see
            :func:`~closedform_wsss.set_value_checks`); both or none of threshold and power are given; an option is out
            of range.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import pseudo_labels
        >>> cam = torch.tensor([[0.1, 0.4, 0.9, 0.0], [0.0, 0.3, 0.2, 0.8]]).reshape(1, 2, 1, 4)
        >>> pseudo_labels(cam, threshold=0.2).flatten().tolist()
        [0, 1, 1, 2]
        >>> pseudo_labels(cam, threshold=0.2, margin=0.15, classes=[7, 15]).flatten().tolist()
        [255, 255, 7, 15]
    """
    fn = "pseudo_labels"
    cam = _checked(fn, cam.detach() if isinstance(cam, Tensor) else cam)
    n, channels, h, w = cam.shape
    margin = check_probability(fn, "margin", margin)
    labels = _label_table(fn, classes, channels, ignore_index, cam.device)
    if class_present is not None:
        check_class_present(fn, class_present, n, channels, cam.device, of="cam")
        if class_present.dtype != torch.bool:
            raise TypeError(f"{fn}: class_present must be bool, got {class_present.dtype}")
        cam = cam.masked_fill(~class_present[:, :, None, None], -math.inf)
    if threshold is not None and power is None:
        threshold = check_probability(fn, "threshold", threshold)
        background = cam.new_full((n, 1, h, w), threshold)
    elif power is not None and threshold is None:
        power = check_positive(fn, "power", power)
        background = (1 - _strongest(cam)).clamp_min(0) ** power
    else:
        raise ValueError(f"{fn}: one of threshold and power must be given, got {threshold!r} and {power!r}")
    scores = torch.cat([background, cam], 1)
    best, winner = scores.max(1)  # the first of equal ones: the background comes first
    if margin > 0 and channels > 0:
        second = scores.scatter(1, winner[:, None], -math.inf).amax(1)
        winner = torch.where(best - second < margin, channels + 1, winner)
    return labels[winner]


def _checked(fn: str, cam: Tensor) -> Tensor:
    """cam in the dtype of the computation, its values checked."""
    cam = check_maps(fn, "cam", cam, None, None)
    check_unit_range(fn, "cam", cam)
    return as_compute_dtype(cam)


def _strongest(cam: Tensor) -> Tensor:
    """max over the classes, ``(N, 1, H, W)``, 0 where there is none."""
    nothing = torch.zeros_like(cam[:, :1]) if cam.shape[1] else cam.new_zeros(cam.shape[0], 1, *cam.shape[2:])
    return torch.cat([nothing, cam], 1).amax(1, keepdim=True)


def _label_table(
    fn: str, classes: Sequence[int] | Tensor | None, channels: int, ignore_index: int, device: torch.device
) -> Tensor:
    """The label of the background, of every channel, and of doubtful pixels."""
    ignore_index = check_integer(fn, "ignore_index", ignore_index)
    if ignore_index == 0:
        raise ValueError(f"{fn}: ignore_index must not be 0, the background's label")
    try:
        chosen = torch.as_tensor(range(1, channels + 1) if classes is None else classes, device=device)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError for what is no number
        if isinstance(classes, Tensor):
            raise
        raise TypeError(f"{fn}: classes must be integers (C,), got {type(classes).__name__} {classes!r:.80}") from None
    if chosen.shape != (channels,):
        raise ValueError(f"{fn}: classes must be (C,) = ({channels},) like cam, got shape {tuple(chosen.shape)}")
    if channels and (chosen.is_floating_point() or chosen.is_complex() or chosen.dtype == torch.bool):
        raise TypeError(f"{fn}: classes must be integers, got {chosen.dtype}")
    chosen = as_int64(chosen)
    # A list costs no wait for a device; a tensor on one is read only if values are checked.
    if reads_values(chosen) and not bool(((chosen >= 1) & (chosen != ignore_index)).all()):
        raise ValueError(f"{fn}: classes must be >= 1 and not ignore_index {ignore_index}, got {chosen.tolist()}")
    ends = torch.tensor([0, ignore_index], device=device)
    return torch.cat([ends[:1], chosen, ends[1:]])
