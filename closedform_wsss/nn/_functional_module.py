"""A module that keeps the options of a function."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from closedform_wsss._checks import check_class_weight


class FunctionalModule(nn.Module):
    """Options as attributes, which :attr:`options` gives back and ``repr`` shows; ``class_weight`` becomes a buffer."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        self._names = tuple(options)
        for name, value in options.items():
            if name == "class_weight":
                self.register_buffer(name, None if value is None else _weights(type(self).__name__, value))
            else:
                setattr(self, name, value)

    @property
    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._names}

    def extra_repr(self) -> str:
        defaults = {name: option.default for name, option in inspect.signature(type(self)).parameters.items()}
        # None is shown where it is a choice, as in activation=None, but not where it is the default.
        shown = {
            name: value
            for name, value in self.options.items()
            if name != "class_weight" and (value is not None or defaults.get(name) is not None)
        }
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())


def _weights(fn: str, value: Any) -> Tensor:
    """Weights of any number of classes, checked."""
    try:
        weight = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):  # RuntimeError for what is no number
        raise TypeError(f"{fn}: class_weight must be numbers (C,), got {type(value).__name__} {value!r:.60}") from None
    check_class_weight(fn, weight, None, weight.device)
    return weight
