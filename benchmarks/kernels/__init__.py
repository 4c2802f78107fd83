"""The closed-form loss and its operator against pymatting, SciPy and plain PyTorch."""
