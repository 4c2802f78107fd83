"""The preconditioner of a solve: near-null-space functions of tiles, and a W-cycle over blocks of them."""
