"""The operators, as torch sees them, one block each: CPU kernel, fake, definition, gradient.

The kernels know nothing of torch; here tensors are allocated and passed as addresses. Arguments are checked by the
public functions; operators trust them (contiguity aside).
"""

from closedform_wsss._ops.asam import asam_affinity, asam_steps
from closedform_wsss._ops.block import block_product, block_relax
from closedform_wsss._ops.lattice import lattice_build, lattice_filter, lattice_mean_field
from closedform_wsss._ops.matting import matting_product, matting_stencil
from closedform_wsss._ops.matting_cg import matting_cg
from closedform_wsss._ops.matting_chebyshev import matting_chebyshev
from closedform_wsss._ops.matting_loss import matting_loss
from closedform_wsss._ops.superpixel import (
    superpixel_assign,
    superpixel_dot,
    superpixel_pool,
    superpixel_unpool,
    superpixel_update,
)
from closedform_wsss._ops.tile import tile_energy, tile_product, tile_prolong, tile_relax, tile_restrict

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
