"""Matrix products of float32 with the rounding of other number formats, on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

TF32, BFLOAT16 = 10, 7  # bits of their mantissas
aten = torch.ops.aten
PRODUCTS = {aten.mm, aten.bmm, aten.addmm, aten.baddbmm}  # what matmul, einsum and vecdot become


class LowPrecisionProducts(TorchDispatchMode):
    """Rounds what is multiplied in float32 products, as ``torch.set_float32_matmul_precision`` allows devices to do.

    Attributes:
        count: The number of products that were rounded.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits, self.count = bits, 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func.overloadpacket in PRODUCTS and args[-1].dtype == torch.float32:
            self.count += 1
            args = (*args[:-2], *(rounded(a, self.bits) for a in args[-2:]))
        run: Callable[..., Any] = func
        return run(*args, **(kwargs or {}))


def rounded(x: Tensor, bits: int) -> Tensor:
    """float32 to the nearest with so many bits of mantissa, ties to even."""
    last = 23 - bits
    number = x.contiguous().view(torch.int32)
    number = number + (2 ** (last - 1) - 1 + (number >> last & 1))
    return (number >> last << last).view(torch.float32)
