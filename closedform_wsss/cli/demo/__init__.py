"""``closedform-wsss demo``."""
