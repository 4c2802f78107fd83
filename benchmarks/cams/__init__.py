"""Refined class activation maps."""
