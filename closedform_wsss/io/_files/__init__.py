"""Files of any kind: written whole or not at all, named, read as text."""
