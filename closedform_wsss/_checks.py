"""Arguments are checked before any kernel runs; a message names function, argument, what it must be and what it got.

Shapes and types are always checked. Checks that read values (range, NaN, labels) would make a CUDA stream wait, so by
default they run for tensors on the CPU only; :func:`set_value_checks` changes that.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_value_checks: bool | None = None


def set_value_checks(enabled: bool | None) -> None:
    """Choose when arguments' values (range of an image, NaN, labels) are checked.

    Args:
        enabled: True: always, also on CUDA, where each check waits for the device: for the first steps of a new
            training loop. False: never. None (the default): for tensors on the CPU only. Under ``torch.compile``
            values are never checked.

    Example:
        >>> import closedform_wsss
        >>> closedform_wsss.set_value_checks(True)
        >>> closedform_wsss.set_value_checks(None)
    """
    global _value_checks
    _value_checks = enabled


def reads_values(tensor: Tensor) -> bool:
    """Whether the values of this tensor are to be checked."""
    if torch.compiler.is_compiling() or tensor.numel() == 0 or tensor.is_meta:
        return False
    return tensor.device.type == "cpu" if _value_checks is None else _value_checks


def check_option(where: str, name: str, value: Any, options: Sequence[Any]) -> None:
    """One of a few values."""
    if value not in options:
        raise ValueError(f"{where}: {name} must be one of {', '.join(map(repr, options))}, got {value!r}")


def check_positive(where: str, name: str, value: float) -> None:
    """A finite number above zero."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{where}: {name} must be a number > 0, got {type(value).__name__} {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{where}: {name} must be a finite number > 0, got {value!r}")


def check_radius(where: str, radius: int, height: int, width: int) -> None:
    """Windows of 2 radius + 1 pixels that fit; radius 1 fits always (windows shrink to tiny images)."""
    if isinstance(radius, bool) or not isinstance(radius, int):
        raise TypeError(f"{where}: radius must be an integer >= 1, got {type(radius).__name__} {radius!r}")
    if radius < 1:
        raise ValueError(f"{where}: radius must be an integer >= 1, got {radius}")
    if radius > 1 and 2 * radius + 1 > min(height, width):
        raise ValueError(
            f"{where}: radius must leave a window of 2 * radius + 1 pixels inside the image, got radius {radius} "
            f"(window {2 * radius + 1}) for an image of {height} x {width}"
        )


def check_image(where: str, image: Tensor) -> Tensor:
    """Image ``(N, D, H, W)`` in [0, 1] or uint8 -> floating point (float32 unless it is float64), detached."""
    if not isinstance(image, Tensor):
        raise TypeError(f"{where}: image must be a tensor (N, D, H, W), got {type(image).__name__}")
    if image.ndim != 4 or 0 in image.shape[1:]:
        raise ValueError(f"{where}: image must be (N, D, H, W) in [0, 1], got shape {tuple(image.shape)}")
    # Any number of channels is allowed, so (N, H, W, 3) would pass for an image of H channels and be quietly wrong.
    if image.shape[1] > 16 and image.shape[3] in (1, 3, 4):
        raise ValueError(
            f"{where}: image must be (N, D, H, W) in [0, 1], got shape {tuple(image.shape)} with the channels last: "
            "pass image.permute(0, 3, 1, 2)"
        )
    if image.dtype == torch.uint8:
        return image.float() / 255
    if not image.is_floating_point():
        raise TypeError(f"{where}: image must be floating point in [0, 1] or uint8, got {image.dtype}")
    image = image.detach()
    if reads_values(image):
        low, high = (v.item() for v in torch.aminmax(image))
        if math.isnan(low) or math.isnan(high):
            raise ValueError(f"{where}: image must be in [0, 1], got NaN values")
        # A little beyond is the rounding of a resize; more is another range.
        if low < -0.02 or high > 1.02:
            hint = (
                "divide by 255, or pass uint8"
                if low >= 0 and high > 2
                else "pass it as it was before mean/std normalisation, or clamp it"
            )
            raise ValueError(f"{where}: image must be in [0, 1], got values in [{low:.4g}, {high:.4g}]: {hint}")
    return image if image.dtype == torch.float64 else image.float()


def check_maps(where: str, name: str, maps: Tensor, n: int, device: torch.device) -> None:
    """Floating-point maps ``(n, C, h, w)`` on the image's device."""
    if not isinstance(maps, Tensor):
        raise TypeError(f"{where}: {name} must be a tensor (N, C, H, W), got {type(maps).__name__}")
    if maps.ndim != 4:
        raise ValueError(f"{where}: {name} must be (N, C, H, W), got shape {tuple(maps.shape)}")
    if not maps.is_floating_point():
        raise TypeError(f"{where}: {name} must be floating point, got {maps.dtype}")
    if maps.shape[0] != n:
        raise ValueError(f"{where}: {name} and image must have the same batch size, got {maps.shape[0]} and {n}")
    check_device(where, name, maps, device)


def check_pixels(where: str, name: str, maps: Tensor) -> None:
    """At least one pixel to interpolate from."""
    if 0 in maps.shape[2:]:
        raise ValueError(f"{where}: {name} must be (N, C, H, W) with H and W >= 1, got shape {tuple(maps.shape)}")


def check_device(where: str, name: str, tensor: Tensor, device: torch.device) -> None:
    """On the image's device."""
    if tensor.device != device:
        raise ValueError(f"{where}: {name} must be on the image's device {device}, got {tensor.device}")


def check_target(
    where: str, target: Tensor, n: int, device: torch.device, num_classes: int | None, ignore_index: int
) -> None:
    """Labels ``(n, H, W)``: integers in [0, num_classes), or any >= 0 if that is None, or ignore_index."""
    if not isinstance(target, Tensor):
        raise TypeError(f"{where}: target must be an integer tensor (N, H, W), got {type(target).__name__}")
    if target.ndim != 3 or target.shape[0] != n or 0 in target.shape[1:]:
        raise ValueError(f"{where}: target must be (N, H, W) with N = {n} images, got shape {tuple(target.shape)}")
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TypeError(f"{where}: target must be an integer tensor, got {target.dtype}")
    check_device(where, "target", target, device)
    check_integer(where, "ignore_index", ignore_index)
    if num_classes is not None and 0 <= ignore_index < num_classes:
        raise ValueError(
            f"{where}: ignore_index must not be a class, got {ignore_index} with {num_classes} classes "
            f"(0 to {num_classes - 1})"
        )
    if reads_values(target):
        beyond = target < 0 if num_classes is None else (target < 0) | (target >= num_classes)
        wrong = target[(target != ignore_index) & beyond]
        if wrong.numel():
            allowed = "classes >= 0" if num_classes is None else f"classes in [0, {num_classes})"
            raise ValueError(
                f"{where}: target must hold {allowed} or ignore_index {ignore_index}, "
                f"got {sorted(set(wrong[:1000].tolist()))[:5]}"
            )


def check_tensor(where: str, name: str, value: object) -> None:
    """A tensor, not a list or an array."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{where}: {name} must be a tensor, got {type(value).__name__}")


def check_finite(where: str, name: str, value: Tensor) -> None:
    """No NaN and no infinity."""
    if reads_values(value) and not bool(torch.isfinite(value).all()):
        found = "NaN" if bool(torch.isnan(value).any()) else "infinite"
        raise ValueError(f"{where}: {name} must be finite, got {found} values")


def check_cell_size(where: str, cell_size: int) -> None:
    """The side of a superpixel's cell, in pixels."""
    if isinstance(cell_size, bool) or not isinstance(cell_size, int):
        raise TypeError(f"{where}: cell_size must be an integer >= 1, got {type(cell_size).__name__} {cell_size!r}")
    if cell_size < 1:
        raise ValueError(f"{where}: cell_size must be an integer >= 1, got {cell_size}")


def check_count(where: str, name: str, value: int, least: int) -> None:
    """An integer, at least so large."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{where}: {name} must be an integer >= {least}, got {value!r}")


def check_integer(where: str, name: str, value: Any) -> None:
    """An integer of any size, NumPy's too."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{where}: {name} must be an integer, got {type(value).__name__} {value!r}")


def check_probability(where: str, name: str, value: float) -> None:
    """A number in [0, 1]."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{where}: {name} must be a number in [0, 1], got {value!r}")


def check_class_weight(where: str, class_weight: Tensor, classes: int, device: torch.device) -> None:
    """Finite weights ``(C,)`` >= 0."""
    check_tensor(where, "class_weight", class_weight)
    if class_weight.shape != (classes,):
        raise ValueError(f"{where}: class_weight must be (C,) = ({classes},), got shape {tuple(class_weight.shape)}")
    check_device(where, "class_weight", class_weight, device)
    if reads_values(class_weight) and not bool(((class_weight >= 0) & torch.isfinite(class_weight)).all()):
        raise ValueError(f"{where}: class_weight must be >= 0 and finite, got {class_weight.tolist()}")


def check_class_present(where: str, class_present: Tensor, n: int, classes: int, device: torch.device) -> None:
    """Image tags ``(N, C)``, bool or in [0, 1]."""
    check_tensor(where, "class_present", class_present)
    if class_present.shape != (n, classes):
        raise ValueError(
            f"{where}: class_present must be (N, C) = ({n}, {classes}), got shape {tuple(class_present.shape)}"
        )
    check_device(where, "class_present", class_present, device)
    if reads_values(class_present) and not bool(((class_present >= 0) & (class_present <= 1)).all()):
        raise ValueError(f"{where}: class_present must be bool or in [0, 1], got values outside")
