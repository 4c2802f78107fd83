"""Superpixels: their type and its checks, CIELAB, and how well labels agree with them."""

from closedform_wsss.superpixels.superpixels import (
    Superpixels,
    check_pooled,
    check_soft_superpixels,
    check_superpixels,
    check_weights,
)

__all__ = ["Superpixels", "check_pooled", "check_soft_superpixels", "check_superpixels", "check_weights"]
