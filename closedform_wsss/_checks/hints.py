"""What to do about arguments that are wrong, for messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_UNIT_RANGE = "closedform_wsss.io.to_unit_range"
_SLICES = "pass the slices of a volume as a batch, "


def image_range(low: float, high: float, channels: int) -> str:
    """For an image whose values are from ``low`` to ``high``."""
    if low >= 0 and high > 255.5:
        return f"divide by 65535 if all 16 bits are used, else {_UNIT_RANGE}(image, window=({low:g}, {high:g}))"
    if low >= 0 and high > 2:
        return "divide by 255, or pass uint8"
    if low >= -0.2 and high <= 1.2:
        return "a resize that overshoots? Clamp it"
    if low >= -1.05 and high <= 1.05:
        return "pass it as it was before mean/std normalisation, (image + 1) / 2 if that was to [-1, 1]"
    if low < -16 or high > 16:  # more than an image divided by its standard deviation has
        return (
            f"for Hounsfield units or other measured values choose a window, {_UNIT_RANGE}(image, window=(low, high))"
        )
    before = "pass it as it was before mean/std normalisation, image * std + mean"
    if channels == 3:
        return before
    return f"{before}, or {_UNIT_RANGE}(image, percentiles=(1, 99))"


def image_dtype() -> str:
    """For an image of integers other than uint8."""
    return (
        f"divide 16 bits by 65535; for Hounsfield units or other measured values {_UNIT_RANGE}(image, window=(low, "
        "high))"
    )


def maps_range(name: str, low: float, high: float) -> str:
    """For activation maps, or for probabilities, which are the argument ``probs``."""
    if low >= -0.2 and high <= 1.2:
        return "a resize that overshoots? Clamp them"
    if low >= 0 and 100 < high <= 255:
        return "divide by 255"
    if name == "probs":
        return "for logits take the softmax over the classes"
    return "for raw activations relu() and divide each map by its maximum; for logits sigmoid() or softmax(1)"


def image_shape(shape: Sequence[int]) -> str:
    """For an image that is not ``(N, D, H, W)``."""
    if len(shape) == 5:
        return ": " + _SLICES + "image.transpose(1, 2).flatten(0, 1)"
    if len(shape) == 3 and shape[2] in (1, 3, 4) and shape[0] > 4:
        return ": pass image.permute(2, 0, 1)[None]"
    if len(shape) == 3:
        return ": pass image[None] for one image, image[:, None] for a batch of grey ones"
    if len(shape) == 2:
        return ": pass image[None, None]"
    return ""


def maps_type(value: object) -> str:
    """For what a model returns in place of its logits: a dictionary in torchvision, an object in transformers."""
    if isinstance(value, Mapping):
        return next((f': pass its "{key}"' for key in ("out", "logits") if key in value), "")
    return ": pass its logits" if hasattr(value, "logits") else ""


def maps_shape(name: str, shape: Sequence[int]) -> str:
    """For maps that are not ``(N, C, H, W)``."""
    if len(shape) == 5:
        return ": " + _SLICES + f"{name}.transpose(1, 2).flatten(0, 1)"
    return f": pass {name}[None] for one image, {name}[:, None] for a batch of single maps" if len(shape) == 3 else ""


def target_shape(name: str, shape: Sequence[int], n: int, ignore_index: int) -> str:
    """For marks that are not ``(N, H, W)``."""
    if len(shape) == 4 and shape[1] == 1:
        return f": pass {name}[:, 0]"
    if len(shape) == 4:
        # argmax alone would make class 0 of every pixel without a mark.
        labels = f"torch.where({name}.any(1), {name}.int().argmax(1), {ignore_index})"
        return f": {_SLICES}{name}.flatten(0, 1), or one-hot marks as labels, {labels}"
    if len(shape) == 2 and n == 1:
        return f": pass {name}[None]"
    return ""


def target_dtype(name: str, floating: bool) -> str:
    """For marks of another type: whole numbers, or those that torchvision's ToTensor has divided by 255."""
    if not floating:
        return ""
    return f": pass {name}.long(), or (255 * {name}).round().long() if ToTensor divided it by 255"


def labels(found: Sequence[int], classes: int | None, present: Sequence[int]) -> str:
    """For marks that are neither classes nor ``ignore_index``.

    Args:
        found: Some of the wrong labels.
        classes: The number of classes.
        present: All labels that occur, at most 257.
    """
    if looks_like_trimap(present):
        return ": 0, 128 and 255 are those of a trimap, see closedform_wsss.io.from_trimap"
    if len(found) == 1 and found[0] in (255, -1, -100):
        return f": if that means unmarked, pass ignore_index={found[0]}"
    if classes is not None and list(found) == [classes] and 0 not in present:
        return ": if 1 is the first class, subtract 1 from every marked pixel"
    return ""


def unmarked(present: Sequence[int], name: str) -> str:
    """For marks of which none is unmarked."""
    if list(present) == [0, 1, 2]:
        return (
            f"if 0 means unmarked, pass {name}.masked_fill({name} == 0, 255); a trimap whose 1 is unknown, "
            f"torch.tensor([0, 255, 1])[{name}]"
        )
    if looks_like_trimap(present):
        return "for a trimap see closedform_wsss.io.from_trimap"
    return f"if {present[0]} means unmarked, pass {name}.masked_fill({name} == {present[0]}, 255)"


def looks_like_trimap(present: Sequence[int]) -> bool:
    """Whether labels are those of a stored trimap: 0, 255 and one value near the middle; 0 or 255 may be missing."""
    return bool({0, 255} & set(present)) and is_trimap(sorted({0, 255, *present}))


def is_trimap(present: Sequence[int]) -> bool:
    """Whether ascending labels are exactly 0, one value near the middle, and 255."""
    return len(present) == 3 and present[0] == 0 and 64 <= present[1] < 192 and present[2] == 255
