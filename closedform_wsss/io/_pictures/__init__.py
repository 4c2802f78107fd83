"""Pictures: decoded, turned upright, 8 bits or [0, 1]."""
