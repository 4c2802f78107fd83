"""``closedform-wsss marks``."""
