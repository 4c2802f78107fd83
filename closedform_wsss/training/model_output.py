"""The logits in what a model returns."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def logits_of(fn: str, output: Any) -> Tensor:
    """A tensor, the entry "out" or "logits" of a dictionary, or the attribute ``logits``."""
    if isinstance(output, Tensor):
        return output
    found = output.get("out", output.get("logits")) if isinstance(output, dict) else getattr(output, "logits", None)
    if not isinstance(found, Tensor):
        raise TypeError(
            f"{fn}: predict must return logits, got {type(output).__name__}: pass a function that returns a tensor "
            "(1, C, h, w)"
        )
    return found
