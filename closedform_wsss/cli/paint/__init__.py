"""``closedform-wsss paint``."""
