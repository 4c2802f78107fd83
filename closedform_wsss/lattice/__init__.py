"""Gaussian filters of position and colour on the permutohedral lattice of an image."""

from closedform_wsss.lattice.checks import check_channels, check_sigmas
from closedform_wsss.lattice.lattice import Lattice, image_lattice, joined, position_lattice, symmetric

__all__ = ["Lattice", "check_channels", "check_sigmas", "image_lattice", "joined", "position_lattice", "symmetric"]
