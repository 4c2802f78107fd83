"""``closedform-wsss refine-cams``."""
