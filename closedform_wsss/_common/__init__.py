"""Memory layouts and window arithmetic that operators, reference implementations and functions share.

Each file has the name of its header in ``csrc/common``.
"""
