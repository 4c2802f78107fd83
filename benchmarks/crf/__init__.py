"""The dense CRF: speed, and agreement with others."""
