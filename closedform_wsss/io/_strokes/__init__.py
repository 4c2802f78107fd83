"""Marks from strokes of colour on a picture or on a layer."""
