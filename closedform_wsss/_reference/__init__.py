"""The operators in plain PyTorch: references for the tests of the kernels, and fallbacks on devices without kernels."""

from closedform_wsss._reference.asam_affinity import asam_affinity
from closedform_wsss._reference.asam_steps import asam_steps
from closedform_wsss._reference.block_product import block_product
from closedform_wsss._reference.block_relax import block_relax
from closedform_wsss._reference.lattice_build import lattice_build
from closedform_wsss._reference.lattice_filter import lattice_filter
from closedform_wsss._reference.lattice_mean_field import lattice_mean_field
from closedform_wsss._reference.matting_cg import matting_cg
from closedform_wsss._reference.matting_chebyshev import matting_chebyshev
from closedform_wsss._reference.matting_loss import matting_loss
from closedform_wsss._reference.matting_product import matting_product
from closedform_wsss._reference.matting_stencil import matting_stencil
from closedform_wsss._reference.superpixel_assign import superpixel_assign
from closedform_wsss._reference.superpixel_dot import superpixel_dot
from closedform_wsss._reference.superpixel_pool import superpixel_pool
from closedform_wsss._reference.superpixel_unpool import superpixel_unpool
from closedform_wsss._reference.superpixel_update import superpixel_update
from closedform_wsss._reference.tile_energy import tile_energy
from closedform_wsss._reference.tile_product import tile_product
from closedform_wsss._reference.tile_prolong import tile_prolong
from closedform_wsss._reference.tile_relax import tile_relax
from closedform_wsss._reference.tile_restrict import tile_restrict

__all__ = [
    "asam_affinity",
    "asam_steps",
    "block_product",
    "block_relax",
    "lattice_build",
    "lattice_filter",
    "lattice_mean_field",
    "matting_cg",
    "matting_chebyshev",
    "matting_loss",
    "matting_product",
    "matting_stencil",
    "superpixel_assign",
    "superpixel_dot",
    "superpixel_pool",
    "superpixel_unpool",
    "superpixel_update",
    "tile_energy",
    "tile_product",
    "tile_prolong",
    "tile_relax",
    "tile_restrict",
]
