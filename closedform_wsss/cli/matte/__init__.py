"""``closedform-wsss matte``."""
