"""Networks trained from marks."""
