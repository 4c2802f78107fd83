"""Who solves for mattes in the solver benchmark, and the tight solutions that they are compared with.

Each makes its inputs from a problem and returns the function to measure: everything from the image and the marks
to the mattes, set-up included.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# As pymatting is loaded, numba else starts OpenMP threads, also torch's, which a fork would leave behind.
os.environ["NUMBA_THREADING_LAYER"] = "workqueue"

import numpy as np
import pymatting
import scipy.ndimage
import scipy.sparse
import scipy.sparse.linalg
import torch
from common.exact import BAND, solve_free

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import solve_matting
from closedform_wsss.io import IGNORE_INDEX, from_array
from closedform_wsss.laplacian import Kind
from solver.inputs import Problem

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

CONFIDENCE = 100.0
TOL = 1e-3  # of solve_matting, its default
CSR_ITERATIONS = 2000  # as many as solve_matting allows itself
DIRECT = 0.55e6  # pixels up to which a direct solver tells the tight solution
TIGHT_TOL = 1e-6  # beyond it our own solver does, in float64
FIRM_CONFIDENCE = 1e6  # which then stands for marks that are fixed


@dataclass(frozen=True)
class Solution:
    """Mattes ``(maps, H, W)``: of two classes the second's alone. Not clipped."""

    mattes: Floats
    iterations: int | None = None
    converged: bool = True


Run = Callable[[], Solution]


@dataclass(frozen=True)
class Solver:
    """A method: ``make`` turns a problem into the function to measure."""

    make: Callable[[Problem], Run]
    # Which exact solution is meant: marks held with weight 100 ("soft", "learning_based") or fixed ("hard").
    system: str = "soft"
    many: bool = False  # more than two classes, too
    threaded: bool = False
    reduces: bool = False  # fixes the known pixels of a trimap and solves for the others

    def system_of(self, problem: Problem) -> str:
        return "hard" if self.reduces and problem.trimap else self.system


def tensors(problem: Problem, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Image ``(1, 3, H, W)`` in [0, 1] and marks ``(1, H, W)``."""
    return from_array(problem.image)[None].contiguous().to(dtype) / 255, torch.from_numpy(problem.marks)[None]


def ours(laplacian: Kind = "closed_form") -> Callable[[Problem], Run]:
    """``solve_matting`` with its defaults, float32."""

    def make(problem: Problem) -> Run:
        image, marks = tensors(problem, torch.float32)

        def run() -> Solution:
            options: dict[str, Any] = {"kind": laplacian, "mark_weight": CONFIDENCE, "tol": TOL}
            solution = solve_matting(marks, image, num_classes=problem.classes, **options)
            alpha = solution.alpha
            return Solution(_shown(alpha[0].numpy()), solution.iterations, solution.converged)

        return run

    return make


def _shown(alpha: Floats) -> Floats:
    return alpha[1:] if len(alpha) == 2 else alpha


def arrays(problem: Problem, label: int = 1) -> tuple[Floats, Floats]:
    """pymatting's inputs: image ``(H, W, 3)`` in [0, 1] and trimap ``(H, W)`` of 0, 0.5, and 1 for that class."""
    trimap = np.where(problem.marks == IGNORE_INDEX, 0.5, 0.0)
    trimap[problem.marks == label] = 1.0
    return problem.image / 255, trimap


def estimate(function: Callable[..., Any]) -> Callable[[Problem], Run]:
    """One of pymatting's ``estimate_alpha_...`` with its defaults: incomplete Cholesky, CG to a residual of 1e-7. It is
    for one class, clips, and is called for each of more than two."""

    def make(problem: Problem) -> Run:
        def run() -> Solution:
            alphas, iterations = [], 0
            for label in range(problem.classes) if problem.classes > 2 else (1,):
                count = _Counter()
                alphas.append(np.asarray(function(*arrays(problem, label), cg_kwargs={"callback": count})))
                iterations += count.iterations
            return Solution(np.stack(alphas), iterations)

        return run

    return make


class _Counter:
    """The callback of pymatting's cg: counts, and keeps the iterate for the case that it gives up."""

    iterations = 0
    latest: Floats

    def __call__(self, matrix: Any, x: Floats, *_: Any) -> None:
        self.iterations += 1
        self.latest = x


@dataclass(frozen=True)
class System:
    """``matrix @ x = right``, ``right`` ``(unknowns, maps)``; of many classes the first is what the others leave."""

    matrix: scipy.sparse.csr_matrix
    right: Floats
    problem: Problem
    goal: Floats  # (pixels, maps)
    free: Bools  # (pixels,): those that x holds

    def solution(self, x: Floats, iterations: int | None = None, converged: bool = True) -> Solution:
        """Mattes of x."""
        maps = self.goal.copy()
        maps[self.free] = x
        if self.problem.classes > 2:
            maps = np.concatenate([1 - maps.sum(axis=1, keepdims=True), maps], axis=1)
        return Solution(maps.T.reshape(-1, *self.problem.marks.shape), iterations, converged)


def closed_form_system(problem: Problem, image: Floats, reduce: bool) -> System:
    """pymatting's matrix with the marks added to it; or, reduced, for the unmarked pixels with the others fixed."""
    marks = problem.marks.reshape(-1, 1)
    known = marks[:, 0] != IGNORE_INDEX
    goal = (marks == np.arange(1, problem.classes)).astype(np.float64)
    if reduce:
        rows = pymatting.cf_laplacian(image, is_known=known)[~known]
        return System(rows[:, ~known], -(rows[:, known] @ goal[known]), problem, goal, ~known)
    matrix = (pymatting.cf_laplacian(image) + scipy.sparse.diags(CONFIDENCE * known)).tocsr()
    matrix.sum_duplicates()
    return System(matrix, CONFIDENCE * goal, problem, goal, np.ones_like(known))


def conjugate_gradients(
    preconditioner: Callable[[scipy.sparse.csr_matrix, Problem], Any], max_iter: int = 10000, reduces: bool = False
) -> Callable[[Problem], Run]:
    """pymatting's CG to a residual of 1e-7 for one map after the other, with one preconditioner for all."""

    def make(problem: Problem) -> Run:
        image, _ = arrays(problem)

        def run() -> Solution:
            system = closed_form_system(problem, image, problem.trimap and reduces)
            inverse = preconditioner(system.matrix, problem)
            x, total, converged = np.empty_like(system.right), 0, True
            for k in range(x.shape[1]):
                count = _Counter()
                try:
                    x[:, k] = pymatting.cg(
                        system.matrix, system.right[:, k].copy(), M=inverse, maxiter=max_iter, callback=count
                    )
                except ValueError:  # not converged within so many iterations
                    x[:, k], converged = count.latest, False
                total += count.iterations
            return system.solution(x, total, converged)

        return run

    return make


def direct(problem: Problem) -> Run:
    """SciPy's sparse LU, its ordering and pivoting set for symmetric matrices: 3 times as fast as ``spsolve``."""
    image, _ = arrays(problem)

    def run() -> Solution:
        system = closed_form_system(problem, image, problem.trimap)
        return system.solution(_factor(system.matrix.tocsc()).solve(system.right))

    return run


def _factor(matrix: scipy.sparse.csc_matrix) -> Any:
    options = {"SymmetricMode": True}
    return scipy.sparse.linalg.splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)


def multigrid(setup: str) -> Callable[[scipy.sparse.csr_matrix, Problem], Any]:
    """One of pyamg's algebraic multigrid methods, with the near-null space of the matting Laplacian, [1, R, G, B]."""

    def preconditioner(matrix: scipy.sparse.csr_matrix, problem: Problem) -> Any:
        import pyamg

        colours = problem.image.reshape(-1, 3) / 255
        near_null = np.concatenate([np.ones((len(colours), 1)), colours], axis=1)
        return getattr(pyamg, setup)(matrix, B=near_null, symmetry="symmetric").aspreconditioner().matvec

    return preconditioner


def cholesky(problem: Problem) -> Run:
    """cholespy: the sparse Cholesky factor of CHOLMOD, and all maps solved with it at once."""
    from cholespy import CholeskySolverD, MatrixType

    image, _ = arrays(problem)

    def run() -> Solution:
        system = closed_form_system(problem, image, problem.trimap)
        matrix = system.matrix.tocsc()
        matrix.sort_indices()
        indices = (matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32))
        factor = CholeskySolverD(matrix.shape[0], *indices, matrix.data, MatrixType.CSC)
        right = np.ascontiguousarray(system.right)
        x = np.empty_like(right)
        factor.solve(right, x)
        return system.solution(x)

    return run


def tight(system: str, own: bool = False) -> Callable[[Problem], Run]:
    """The reference of a system: direct with a step of refinement; of many pixels, or ``own``, by our solver, tight."""
    kind: Kind = "learning_based" if system == "learning_based" else "closed_form"

    def make(problem: Problem) -> Run:
        image, marks = tensors(problem, torch.float64)

        def run() -> Solution:
            if own or problem.marks.size > DIRECT:
                mark_weight = FIRM_CONFIDENCE if system == "hard" else CONFIDENCE
                options: dict[str, Any] = {"kind": kind, "mark_weight": mark_weight, "tol": TIGHT_TOL}
                solution = solve_matting(marks, image, num_classes=problem.classes, max_iter=20000, **options)
                alpha = solution.alpha
                return Solution(_shown(alpha[0].numpy()), solution.iterations, solution.converged)
            known = problem.marks != IGNORE_INDEX
            goal = (problem.marks.reshape(-1, 1) == np.arange(problem.classes)).astype(np.float64)
            goal = goal[:, 1:] if problem.classes == 2 else goal
            matrix = MattingLaplacian(image, kind=kind).to_scipy(0).tocsr()
            if system == "hard":
                x = solve_free(matrix, np.zeros_like(goal), goal, ~known.reshape(-1))
            else:
                held = scipy.sparse.diags(known.reshape(-1) * CONFIDENCE)
                band = scipy.ndimage.binary_dilation(~known, np.ones((3, 3)), iterations=BAND).reshape(-1)
                x = solve_free((matrix + held).tocsr(), CONFIDENCE * goal, goal, band)
            return Solution(x.T.reshape(-1, *problem.marks.shape))

        return run

    return make


OURS = "closedform_wsss"
SOLVERS: dict[str, Solver] = {
    OURS: Solver(ours(), many=True, threaded=True),
    f"{OURS}, learning-based": Solver(ours("learning_based"), "learning_based", threaded=True),
    "pymatting cf, ichol": Solver(estimate(pymatting.estimate_alpha_cf), "hard", many=True),
    "pymatting cf, ichol, soft": Solver(conjugate_gradients(lambda matrix, _: pymatting.ichol(matrix)), many=True),
    "pymatting cf, V-cycle, soft": Solver(
        conjugate_gradients(lambda matrix, problem: pymatting.vcycle(matrix, problem.marks.shape))
    ),
    "pymatting lbdm, ichol": Solver(estimate(pymatting.estimate_alpha_lbdm), "learning_based"),
    "SciPy direct": Solver(direct, many=True, reduces=True),
    "SciPy CSR, Jacobi": Solver(
        conjugate_gradients(lambda matrix, _: pymatting.jacobi(matrix), CSR_ITERATIONS, reduces=True), reduces=True
    ),
}
if importlib.util.find_spec("pyamg"):
    SOLVERS["pyamg root-node, soft"] = Solver(conjugate_gradients(multigrid("rootnode_solver"), CSR_ITERATIONS))
    SOLVERS["pyamg smoothed aggregation, soft"] = Solver(
        conjugate_gradients(multigrid("smoothed_aggregation_solver"), CSR_ITERATIONS)
    )
if importlib.util.find_spec("cholespy"):
    SOLVERS["cholespy"] = Solver(cholesky, many=True, reduces=True)
SYSTEMS = ("soft", "hard", "learning_based")
REFERENCES = {system: Solver(tight(system), system) for system in SYSTEMS}
REFERENCES |= {f"{system}, own": Solver(tight(system, own=True), system) for system in SYSTEMS}
