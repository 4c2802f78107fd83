"""When the values of a tensor are read."""

from __future__ import annotations

import torch
from torch import Tensor

_value_checks: bool | None = None


def set_value_checks(enabled: bool | None) -> None:
    """Chooses when the values of arguments (range of an image, NaN, labels) are checked.

    Args:
        enabled: True: always. On CUDA each check waits for the device, so use this for the first steps of a new
            training loop. False: never. None (the default): only for tensors on the CPU. Under ``torch.compile``
            values are never checked.

    Raises:
        TypeError: ``enabled`` is none of them.

    Example:
        >>> import closedform_wsss
        >>> closedform_wsss.set_value_checks(True)
        >>> closedform_wsss.set_value_checks(None)
    """
    if enabled is not None and not isinstance(enabled, bool):
        raise TypeError(f"set_value_checks: enabled must be True, False or None, got {enabled!r}")
    global _value_checks
    _value_checks = enabled


def reads_values(tensor: Tensor) -> bool:
    """Whether the values of this tensor should be checked."""
    if torch.compiler.is_compiling() or tensor.numel() == 0 or tensor.is_meta:
        return False
    return tensor.device.type == "cpu" if _value_checks is None else _value_checks


def can_be_read(tensor: Tensor) -> bool:
    """Whether a value may decide what is computed: on the CPU, where nothing waits for it. No check, so
    :func:`set_value_checks` has no say. A compiled program has no values."""
    return tensor.device.type == "cpu" and tensor.numel() > 0 and not torch.compiler.is_compiling()
