"""``closedform-wsss self-label``."""
