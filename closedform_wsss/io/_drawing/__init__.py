"""Marks drawn from coordinates: points, lines, polygons."""
