"""Class activation maps and probabilities in files of arrays."""
