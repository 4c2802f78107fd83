"""Solve (L + D) alpha = D s for the classes of a batch of images: from marks to a :class:`Solution`."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from closedform_wsss._autocast import without_autocast
from closedform_wsss._checks import check_option
from closedform_wsss._ops._define import define
from closedform_wsss.laplacian import Kind, MattingLaplacian
from closedform_wsss.solver.cg import PCGResult, by_classes
from closedform_wsss.solver.problem import FN, check_initial, check_marked, check_marks, data_term
from closedform_wsss.solver.solution import NOTHING_TO_SOLVE, Solution, warn_unless_converged
from closedform_wsss.solver.stopping import Stopping
from closedform_wsss.solver.system import SystemSolver, system_solver


@torch.no_grad()
@without_autocast
def solve(
    laplacian: MattingLaplacian,
    marks: Tensor,
    *,
    num_classes: int | None,
    mark_weight: float | Tensor,
    initial: Tensor | None,
    ignore_index: int,
    unmarked: Literal["error", "skip"],
    stopping: Stopping,
) -> Solution:
    """:func:`solve_matting` on an operator, with its options."""
    check_option(FN, "unmarked", unmarked, ("error", "skip"))
    marks, num_classes = check_marks(laplacian, marks, num_classes, ignore_index)
    data_weight = data_term(laplacian, mark_weight)
    soft = marks.is_floating_point()
    if not soft:
        data_weight = data_weight * (marks != ignore_index)
    if not torch.compiler.is_compiling():
        check_marked(marks, data_weight, unmarked)
    if initial is not None:
        initial = check_initial(laplacian, initial, num_classes)
    marks = marks.to(laplacian.dtype) if soft else torch.where(marks == ignore_index, -1, marks).int()
    problem = (marks, data_weight, initial, num_classes)
    skipped = ~_marked_images(data_weight)
    if torch.compiler.is_compiling() and stopping.callback is None:
        options = (laplacian.kind, laplacian.eps, laplacian.radius, stopping.tol, stopping.max_iter)
        alpha, figures = _solve(laplacian.image, *problem, *options)
    else:
        alpha, figures = _solve_on(laplacian, *problem, stopping)
    return Solution(alpha, figures, skipped)


def _marked_images(data_weight: Tensor) -> Tensor:
    """Which images have a marked pixel, ``(N,)``."""
    return (data_weight > 0).flatten(1).any(1)


def _solve_on(
    laplacian: MattingLaplacian,
    marks: Tensor,
    data_weight: Tensor,
    initial: Tensor | None,
    num_classes: int,
    stopping: Stopping,
) -> tuple[Tensor, Tensor]:
    """alpha and figures of a :class:`Solution`; alpha is 0 where nothing is marked, for any constant solves such a
    system."""
    n, h, w = laplacian.shape
    marked = _marked_images(data_weight)
    if bool(marked.all()):
        return _solve_marked(laplacian, marks, data_weight, initial, num_classes, stopping)
    alpha = torch.zeros(n, num_classes, h, w, dtype=laplacian.dtype, device=laplacian.device)
    if not bool(marked.any()):
        return alpha, NOTHING_TO_SOLVE.clone()
    some = MattingLaplacian.of_checked(laplacian.image[marked], laplacian.kind, laplacian.eps, laplacian.radius)
    start = None if initial is None else initial[marked]
    solved = _solve_marked(some, marks[marked], data_weight[marked], start, num_classes, stopping)
    alpha[marked] = solved[0]
    return alpha, solved[1]


def _solve_marked(
    laplacian: MattingLaplacian,
    marks: Tensor,
    data_weight: Tensor,
    initial: Tensor | None,
    num_classes: int,
    stopping: Stopping,
) -> tuple[Tensor, Tensor]:
    """The same where every image is marked; marks ``(N, H, W)`` int32, -1 for none, or soft ``(N, C, H, W)``."""
    if marks.is_floating_point():
        solver = system_solver(laplacian, data_weight, stopping.tol)
        start = marks.mean((2, 3), keepdim=True).expand_as(marks) if initial is None else initial
        result = by_classes(partial(solver.solve, stopping=stopping), marks, start, at_once=solver.classes_at_once)
        alpha = result.x
    else:
        solver = system_solver(laplacian, data_weight, stopping.tol, marks)
        sums_to_one = laplacian.kind == "closed_form"
        alpha, result = _solve_marks(solver, marks, num_classes, initial, laplacian.dtype, sums_to_one, stopping)
    warn_unless_converged(FN, result, stopping.tol, "in alpha", "raise max_iter, or eps, or mark more")
    return alpha, result.figures()


def _solve_marks(
    solver: SystemSolver,
    marks: Tensor,
    num_classes: int,
    initial: Tensor | None,
    dtype: torch.dtype,
    sums_to_one: bool,
    stopping: Stopping,
) -> tuple[Tensor, PCGResult]:
    """Solve for the classes that an image is marked with; alpha of the others is 0.

    If L 1 = 0, then (L + D) 1 = D 1, and the mattes sum to one. Then the class with the most marks in an image is not
    solved for: it is 1 minus the others.
    """
    n, h, w = marks.shape
    label = torch.where(marks < 0, num_classes, marks).long().flatten(1)
    count = torch.zeros(n, num_classes + 1, dtype=torch.long, device=marks.device)
    count = count.scatter_add_(1, label, torch.ones_like(label))[:, :num_classes]
    order = count.argsort(dim=1, descending=True, stable=True)
    first = 1 if sums_to_one else 0
    solved = order[:, first : int((count > 0).sum(1).max()) if n else first]

    def places(classes: Tensor) -> Tensor:
        return classes[:, :, None, None].expand(-1, -1, h, w)

    def solve_classes(classes: Tensor) -> PCGResult:
        values = (marks[:, None] == classes[:, :, None, None]).to(dtype)
        if initial is None:
            fraction = (count.gather(1, classes).to(dtype) / count.sum(1, keepdim=True))[:, :, None, None]
            start = torch.where(marks[:, None] < 0, fraction, values)
        else:
            start = initial.gather(1, places(classes))
        return solver.solve(values, start, stopping)

    result = by_classes(solve_classes, solved, at_once=solver.classes_at_once)
    alpha = result.x.new_zeros(n, num_classes, h, w)
    alpha.scatter_(1, places(solved), result.x)
    if sums_to_one:
        alpha.scatter_(1, places(order[:, :1]), 1 - result.x.sum(1, keepdim=True))
    return alpha, result


# The solve as one operator, so that torch.compile does not trace its iterations.


def _solve_run(
    image: Tensor,
    marks: Tensor,
    data_weight: Tensor,
    initial: Tensor | None,
    num_classes: int,
    kind: Kind,
    eps: float,
    radius: int,
    tol: float,
    max_iter: int,
) -> tuple[Tensor, Tensor]:
    laplacian = MattingLaplacian.of_checked(image, kind, eps, radius)
    return _solve_on(laplacian, marks, data_weight, initial, num_classes, Stopping(tol, max_iter))


def _solve_fake(
    image: Tensor, marks: Tensor, data_weight: Tensor, initial: Tensor | None, num_classes: int, *_: Any
) -> tuple[Tensor, Tensor]:
    n, _channels, h, w = image.shape
    return image.new_empty(n, num_classes, h, w), torch.empty(4, dtype=torch.float64, device="cpu")


_solve = define(
    "solve_matting",
    "(Tensor image, Tensor marks, Tensor data_weight, Tensor? initial, int num_classes, str kind, float eps,"
    " int radius, float tol, int max_iter) -> (Tensor, Tensor)",
    _solve_run,
    _solve_run,
    _solve_fake,
)
