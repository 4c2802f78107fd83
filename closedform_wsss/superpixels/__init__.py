"""Soft superpixels inside: the association of pixels and its checks, colours, and how labels agree with it."""
