"""Regions that only eps holds, and their exact correction.

L x is nearly zero for every x that is affine in the colours of each window. Photographs have few such functions, but
images with clipped or with few colours are full of them, each on a region of its own: only eps holds the region to what
is around it. Many lie side by side in a tile, and neither Jacobi nor the coarse levels can tell them apart. They form a
system of their own, which is solved exactly.
"""

from closedform_wsss.solver.regions.correction import RegionCorrection
from closedform_wsss.solver.regions.functions import region_functions
from closedform_wsss.solver.regions.part import Part

__all__ = ["Part", "RegionCorrection", "region_functions"]
