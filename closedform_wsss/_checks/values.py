"""When the values of a tensor are read."""

from __future__ import annotations

import torch
from torch import Tensor

_value_checks: bool | None = None


def set_value_checks(enabled: bool | None) -> None:
    """Chooses when the values of arguments (range of an image, NaN, labels) are checked.

    Args:
        enabled: True: always. On CUDA each check waits for the device, so use this for the first steps of a new
            training loop. False: never, for ``vmap``; then values decide nothing either, so that the losses compute all
            scales of the energy, which takes longer on the CPU. None (the default): only for tensors on the CPU. Under
            ``torch.compile`` values are never checked.

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
    """Whether the values of this tensor are checked, and may decide what is computed."""
    if torch.compiler.is_compiling() or tensor.numel() == 0 or tensor.is_meta:
        return False
    return tensor.device.type == "cpu" if _value_checks is None else _value_checks
