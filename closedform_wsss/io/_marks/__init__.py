"""Files of marks of every kind."""
