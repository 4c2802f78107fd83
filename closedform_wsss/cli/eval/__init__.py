"""``closedform-wsss eval``."""
