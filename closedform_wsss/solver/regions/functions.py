"""The functions of the regions of a batch."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss.solver.regions.clipped import clipped_functions
from closedform_wsss.solver.regions.flat import flat_functions
from closedform_wsss.solver.regions.part import Part

# D in a region, from which on it is held by more than its neighbours.
MAX_DATA_WEIGHT = 1e-2


def region_functions(image: Tensor, data_weight: Tensor) -> list[Part]:
    """Those of flat regions in images of few colours, else those that clipped pixels enclose; of most images none."""
    parts = []
    for n, (colours, weight) in enumerate(zip(image, data_weight, strict=True)):
        held = weight >= MAX_DATA_WEIGHT
        found = flat_functions(colours, held) or clipped_functions(colours, held)
        parts += [part._replace(pixels=n * weight.numel() + part.pixels) for part in found]
    return parts
