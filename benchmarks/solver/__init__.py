"""solve_matting against other solvers."""
