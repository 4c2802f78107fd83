"""Checks of tensors. They return the tensors as the functions need them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from closedform_wsss._checks import hints
from closedform_wsss._checks.options import check_integer
from closedform_wsss._checks.values import reads_values
from closedform_wsss._plain import plain

# Rounding in a resize or a solve may exceed [0, 1] by this much; more means another range.
_ROUNDING = 0.02
_MAX_LABELS_SHOWN = 5


def check_tensor(fn: str, name: str, value: object) -> None:
    """A tensor, not a list or an array."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{fn}: {name} must be a tensor, got {type(value).__name__}")
    check_computable(fn, name, value)


def check_dense(fn: str, name: str, tensor: Tensor) -> None:
    """A value of its own for each place: neither sparse nor nested."""
    if tensor.is_nested:
        raise TypeError(f"{fn}: {name} must be a dense tensor, got a nested one: call torch.nested.to_padded_tensor")
    if tensor.layout != torch.strided:
        raise TypeError(f"{fn}: {name} must be a dense tensor, got {tensor.layout}: call .to_dense()")


def check_computable(fn: str, name: str, tensor: Tensor) -> None:
    """Dense, and of a type that torch computes in."""
    check_dense(fn, name, tensor)
    if tensor.is_floating_point() and tensor.dtype.itemsize == 1:
        raise TypeError(f"{fn}: {name} must be float16, bfloat16, float32 or float64, got {tensor.dtype}")


def check_device(fn: str, name: str, tensor: Tensor, device: torch.device, *, of: str = "other tensors") -> None:
    """On the device of another argument, whose name is ``of``."""
    if tensor.device != device:
        whose = f"{of}'" if of.endswith("s") else f"{of}'s"
        raise ValueError(f"{fn}: {name} must be on the {whose} device {device}, got {tensor.device}")


def check_image(fn: str, image: Tensor) -> Tensor:
    """Image ``(N, D, H, W)`` in [0, 1] or uint8 -> floating point (float32 unless it is float64), detached."""
    if not isinstance(image, Tensor):
        raise TypeError(f"{fn}: image must be a tensor (N, D, H, W), got {type(image).__name__}")
    image = plain(image)
    check_computable(fn, "image", image)
    if image.ndim != 4 or 0 in image.shape[1:]:
        shape = tuple(image.shape)
        raise ValueError(f"{fn}: image must be (N, D, H, W) in [0, 1], got shape {shape}{hints.image_shape(shape)}")
    # Any number of channels is allowed, so (N, H, W, 3) would be accepted as an image of H channels.
    if image.shape[1] > 16 and image.shape[3] in (1, 3, 4):
        raise ValueError(
            f"{fn}: image must be (N, D, H, W) in [0, 1], got shape {tuple(image.shape)} with the channels last: "
            "pass image.permute(0, 3, 1, 2)"
        )
    if image.dtype == torch.uint8:
        return image.contiguous().to(torch.float32) / 255
    if not image.is_floating_point():
        raise TypeError(
            f"{fn}: image must be floating point in [0, 1] or uint8, got {image.dtype}: {hints.image_dtype()}"
        )
    image = image.detach()
    image = as_compute_dtype(image).contiguous()
    if reads_values(image):
        low, high = _range(fn, "image", image)
        if low < -_ROUNDING or high > 1 + _ROUNDING:
            raise ValueError(
                f"{fn}: image must be in [0, 1], got values in [{low:.4g}, {high:.4g}]: "
                f"{hints.image_range(low, high, image.shape[1])}"
            )
    return image


def check_maps(
    fn: str, name: str, maps: Tensor, n: int | None, device: torch.device | None, *, of: str = "image"
) -> Tensor:
    """Floating-point maps ``(n, C, h, w)`` on a device, those of the argument ``of``, contiguous. None: any batch size,
    or any device."""
    if not isinstance(maps, Tensor):
        raise TypeError(f"{fn}: {name} must be a tensor (N, C, H, W), got {type(maps).__name__}{hints.maps_type(maps)}")
    maps = plain(maps)
    check_computable(fn, name, maps)
    if maps.ndim != 4:
        shape = tuple(maps.shape)
        raise ValueError(f"{fn}: {name} must be (N, C, H, W), got shape {shape}{hints.maps_shape(name, shape)}")
    if not maps.is_floating_point():
        raise TypeError(f"{fn}: {name} must be floating point, got {maps.dtype}")
    if n is not None and maps.shape[0] != n:
        raise ValueError(f"{fn}: {name} and {of} must have the same batch size, got {maps.shape[0]} and {n}")
    if device is not None:
        check_device(fn, name, maps, device, of=of)
    return maps.contiguous()


def check_pixels(fn: str, name: str, maps: Tensor) -> None:
    """At least one pixel to interpolate from."""
    if 0 in maps.shape[2:]:
        raise ValueError(f"{fn}: {name} must be (N, C, H, W) with H and W >= 1, got shape {tuple(maps.shape)}")


def check_target(
    fn: str,
    target: Tensor,
    n: int | None,
    device: torch.device | None,
    num_classes: int | None,
    ignore_index: int,
    *,
    name: str = "target",
    of: str = "image",
) -> Tensor:
    """Labels ``(n, H, W)``: integers in [0, num_classes), or any >= 0 if that is None, or ignore_index -> int64.

    ``of``: the argument whose device it is.
    """
    if not isinstance(target, Tensor):
        raise TypeError(f"{fn}: {name} must be an integer tensor (N, H, W), got {type(target).__name__}")
    target = plain(target)
    check_computable(fn, name, target)
    # Not "in", which torch.compile answers with no where one of two equal sizes is a symbol.
    if target.ndim != 3 or (n is not None and n != target.shape[0]) or 0 in target.shape[1:]:
        images = "" if n is None else f" with N = {n} images"
        shape = tuple(target.shape)
        cure = hints.target_shape(name, shape, n or 0, ignore_index)
        raise ValueError(f"{fn}: {name} must be (N, H, W){images}, got shape {shape}{cure}")
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        cure = hints.target_dtype(name, target.is_floating_point())
        raise TypeError(f"{fn}: {name} must be an integer tensor, got {target.dtype}{cure}")
    if device is not None:
        check_device(fn, name, target, device, of=of)
    check_integer(fn, "ignore_index", ignore_index)
    if num_classes is not None and 0 <= ignore_index < num_classes:
        raise ValueError(
            f"{fn}: ignore_index must not be a class, got {ignore_index} with {num_classes} classes "
            f"(0 to {num_classes - 1})"
        )
    target = as_int64(target)
    if reads_values(target) and target.numel():
        low, high = torch.where(target == ignore_index, 0, target).aminmax()
        if low < 0 or (num_classes is not None and high >= num_classes):
            beyond = target < 0 if num_classes is None else (target < 0) | (target >= num_classes)
            wrong = target[(target != ignore_index) & beyond]
            allowed = "classes >= 0" if num_classes is None else f"classes in [0, {num_classes})"
            found = sorted(set(wrong[:1000].tolist()))
            present = torch.unique(target)[:257].tolist()
            raise ValueError(
                f"{fn}: {name} must hold {allowed} or ignore_index {ignore_index}, "
                f"got {found[:_MAX_LABELS_SHOWN]}{hints.labels(found, num_classes, present)}"
            )
    return target


def compute_dtype(x: Tensor) -> torch.dtype:
    """float64 stays float64; all else is computed in float32."""
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def as_compute_dtype(x: Tensor) -> Tensor:
    return x.to(compute_dtype(x))


def as_int64(labels: Tensor) -> Tensor:
    """Labels of any integer type in int64, contiguous. In uint8, -1 would be 255 and 300 would be 44."""
    wide = labels.to(torch.int64).contiguous()
    if labels.dtype == torch.uint64:  # labels above the maximum of int64 became negative
        wide = torch.where(wide < 0, torch.iinfo(torch.int64).max, wide)
    return wide


def check_finite(fn: str, name: str, value: Tensor) -> None:
    """No NaN and no infinity."""
    # A NaN is both the least and the largest value: one pass, where isfinite takes four.
    if reads_values(value) and not all(math.isfinite(v.item()) for v in torch.aminmax(value.detach())):
        found = "NaN" if bool(torch.isnan(value).any()) else "infinite"
        raise ValueError(f"{fn}: {name} must be finite, got {found} values")


def check_unit_range(fn: str, name: str, maps: Tensor) -> None:
    """In [0, 1], apart from rounding."""
    if reads_values(maps):
        low, high = _range(fn, name, maps)
        if low < -_ROUNDING or high > 1 + _ROUNDING:
            raise ValueError(
                f"{fn}: {name} must be in [0, 1], got values in [{low:.4g}, {high:.4g}]: "
                f"{hints.maps_range(name, low, high)}"
            )


def _range(fn: str, name: str, values: Tensor) -> tuple[float, float]:
    """The minimum and the maximum, both finite."""
    low, high = (v.item() for v in torch.aminmax(values))
    if math.isnan(low) or math.isnan(high):
        raise ValueError(f"{fn}: {name} must be in [0, 1], got NaN values")
    if math.isinf(low) or math.isinf(high):
        raise ValueError(f"{fn}: {name} must be in [0, 1], got infinite values")
    return low, high


def check_class_weight(
    fn: str, class_weight: Tensor, classes: int | None, device: torch.device, *, of: str = "image"
) -> None:
    """Finite weights ``(C,)`` >= 0. None: any number of classes."""
    check_tensor(fn, "class_weight", class_weight)
    if class_weight.ndim != 1 or (classes is not None and classes != len(class_weight)):
        wanted = "(C,)" if classes is None else f"(C,) = ({classes},)"
        raise ValueError(f"{fn}: class_weight must be {wanted}, got shape {tuple(class_weight.shape)}")
    check_device(fn, "class_weight", class_weight, device, of=of)
    if reads_values(class_weight) and not bool(((class_weight >= 0) & torch.isfinite(class_weight)).all()):
        raise ValueError(f"{fn}: class_weight must be >= 0 and finite, got {class_weight.tolist()}")


def check_class_present(
    fn: str, class_present: Tensor, n: int, classes: int, device: torch.device, *, of: str = "image"
) -> None:
    """Image-level labels ``(N, C)``, bool or in [0, 1]."""
    check_tensor(fn, "class_present", class_present)
    if class_present.shape != (n, classes):
        raise ValueError(
            f"{fn}: class_present must be (N, C) = ({n}, {classes}), got shape {tuple(class_present.shape)}"
        )
    check_device(fn, "class_present", class_present, device, of=of)
    if reads_values(class_present) and not bool(((class_present >= 0) & (class_present <= 1)).all()):
        raise ValueError(f"{fn}: class_present must be bool or in [0, 1], got values outside")
