"""Whether tensors of different sizes show the same part of a scene, before one is resized to another."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

_SIDE = 8  # pixels: shorter sides are equal by chance


def check_same_view(fn: str, **tensors: Tensor | None) -> None:
    """Heights and widths that a resize may explain: not transposed, and not cropped or padded along one side alone.

    A stretched image, such as a square one for a network, passes: its height and its width both differ. So does one
    pixel along one side: half of 333 pixels may be 166 or 167.
    """
    if torch.compiler.is_compiling():  # where sizes may be symbols, which a comparison would fix
        return
    sizes = {name: (t.shape[-2], t.shape[-1]) for name, t in tensors.items() if t is not None and 0 not in t.shape[-2:]}
    for (name, size), (other, wanted) in combinations(sizes.items(), 2):
        if size == wanted or min(*size, *wanted) < _SIDE:
            continue
        near, far = sorted((abs(size[0] - wanted[0]), abs(size[1] - wanted[1])))
        if size == wanted[::-1]:
            turned = other if list(sizes.values()).count(size) > 1 else name  # the one that is unlike the rest
            how, cure = "transposed", f"pass {turned}.transpose(-1, -2)"
        elif near == 0 and far > 1:
            how, cure = "cropped or padded", "crop or pad both alike, or resize one yourself if it was stretched"
        else:
            continue
        raise ValueError(
            f"{fn}: {name} and {other} must show the same part of the scene, got (H, W) = {size} and {wanted}, which "
            f"looks {how}: {cure}"
        )
