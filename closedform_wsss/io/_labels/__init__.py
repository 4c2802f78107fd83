"""Label maps: their files, palettes, names and codes."""
