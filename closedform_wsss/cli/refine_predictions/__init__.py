"""``closedform-wsss refine-predictions``."""
