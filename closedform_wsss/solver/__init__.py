"""(L + D) x = b for matting Laplacians: marks to right-hand sides, conjugate gradients, multigrid on tiles."""

from closedform_wsss.solver.solve import ConvergenceWarning, SolveInfo, solve

__all__ = ["ConvergenceWarning", "SolveInfo", "solve"]
