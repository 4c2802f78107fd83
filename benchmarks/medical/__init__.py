"""Grey medical images: marks to masks, and the filter after a network."""
