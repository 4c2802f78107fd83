"""The preconditioner of a solve: near-null-space basis functions of tiles, and a W-cycle over blocks of tiles."""
