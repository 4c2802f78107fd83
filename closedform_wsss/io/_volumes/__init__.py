"""Volumes: NIfTI files."""
