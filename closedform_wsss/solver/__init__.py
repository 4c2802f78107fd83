"""(L + D) x = b for matting Laplacians: marks to right-hand sides, conjugate gradients, multigrid on tiles."""

from closedform_wsss.solver.solution import ConvergenceWarning, Solution
from closedform_wsss.solver.solve import solve
from closedform_wsss.solver.stopping import Callback, Stopping

__all__ = ["Callback", "ConvergenceWarning", "Solution", "Stopping", "solve"]
