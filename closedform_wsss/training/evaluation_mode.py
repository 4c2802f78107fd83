"""Evaluation mode for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def evaluation_mode(model: Any) -> Iterator[None]:
    """A module is in evaluation mode, and afterwards each of its parts in the mode that it had: a part that is frozen
    stays so. Anything else is left alone."""
    modes = [(part, part.training) for part in model.modules()] if isinstance(model, nn.Module) else []
    if modes:
        model.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training
