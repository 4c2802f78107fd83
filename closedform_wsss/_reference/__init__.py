"""The operators in plain PyTorch: what the kernels are tested against, and what runs on devices that have no kernel."""

from closedform_wsss._reference.matting_loss import matting_loss
from closedform_wsss._reference.matting_product import matting_product
from closedform_wsss._reference.matting_stencil import matting_stencil
from closedform_wsss._reference.stencil_layout import TAPS, stencil_planes, stencil_shape

__all__ = ["TAPS", "matting_loss", "matting_product", "matting_stencil", "stencil_planes", "stencil_shape"]
