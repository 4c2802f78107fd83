"""Tensors of other libraries as those of torch."""

from __future__ import annotations

from torch import Tensor
from torch.nn import Parameter


def plain(tensor: Tensor) -> Tensor:
    """Without a subclass that changes functions of torch, such as MONAI's MetaTensor, whose ``new_empty`` takes other
    arguments. Subclasses that torch itself needs, for fake or distributed tensors, have a dispatch and stay."""
    kind = type(tensor)
    if kind is Tensor or kind is Parameter or kind.__torch_dispatch__ is not Tensor.__torch_dispatch__:
        return tensor
    return tensor.as_subclass(Tensor)
