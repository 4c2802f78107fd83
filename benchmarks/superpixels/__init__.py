"""Superpixels and ASAM: quality and speed."""
