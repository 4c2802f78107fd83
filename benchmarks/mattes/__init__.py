"""Mattes of photographs against pymatting."""
