"""Autocast is for networks. A solver in half precision diverges, and its kernels take none."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """The function in the precision of its arguments, inside ``torch.autocast`` too.

    Autocast would send matrix products, ``einsum`` and ``vecdot`` to half precision whatever they are given.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        devices = [v.device.type for v in (*args, *kwargs.values()) if isinstance(v, Tensor)]
        device = devices[0] if devices else "cpu"
        if not (torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)):
            return function(*args, **kwargs)
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return run
