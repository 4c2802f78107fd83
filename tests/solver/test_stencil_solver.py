"""Which systems are solved in one call, and that they get the solution of the solver on whole maps."""

import pytest
import torch

from closedform_wsss.laplacian import MattingLaplacian
from closedform_wsss.solver.map_solver import MapSolver
from closedform_wsss.solver.stencil_solver import MAX_PIXELS, MAX_WIDTH, StencilSolver
from closedform_wsss.solver.stopping import Stopping
from closedform_wsss.solver.system import system_solver
from closedform_wsss.solver.tile_solver import TileSolver


def problem(size=(30, 40), kind="closed_form", weight=0.03, n=2, classes=6):
    laplacian = MattingLaplacian(torch.rand(n, 3, *size), kind=kind, eps=1e-4)
    data_weight = torch.full((n, *size), weight)
    data_weight[:, ::5, ::7] = 10.0
    return laplacian, data_weight, torch.rand(n, classes, *size)


@pytest.mark.parametrize("kind", ["closed_form", "learning_based"])
@pytest.mark.parametrize("tol", [0.1, 1e-3])
def test_the_solution_of_the_map_solver(kind, tol):
    laplacian, data_weight, values = problem(kind=kind)
    solver = system_solver(laplacian, data_weight, tol)
    assert isinstance(solver, StencilSolver)
    ours = solver.solve(values, values, Stopping(tol, 500))
    theirs = MapSolver(laplacian, data_weight).solve(values, values, Stopping(tol, 500))
    assert ours.converged.all() and theirs.converged.all()
    # The same steps in float32; a class that has converged stays, in either of the two.
    torch.testing.assert_close(ours.x, theirs.x, rtol=0, atol=1e-4)
    assert abs(ours.iterations - theirs.iterations) <= 5
    torch.testing.assert_close(ours.error, theirs.error, rtol=0.1, atol=1e-4)


def test_which_systems():
    assert isinstance(system_solver(*problem(weight=1e-4)[:2], 1e-3), TileSolver)  # ill-conditioned
    wide, high = (MAX_PIXELS // (MAX_WIDTH + 1), MAX_WIDTH + 1), (MAX_PIXELS // 100 + 1, 100)
    for size in (wide, high):
        assert isinstance(system_solver(*problem(size, n=1, classes=1)[:2], 1e-3), MapSolver)
    window = MattingLaplacian(torch.rand(1, 3, 12, 14), radius=2)
    assert isinstance(system_solver(window, torch.ones(1, 12, 14), 1e-3), MapSolver)


def test_a_callback_is_called_between_iterations():
    laplacian, data_weight, values = problem()
    seen = []
    solver = system_solver(laplacian, data_weight, 1e-3)
    result = solver.solve(values, values, Stopping(1e-3, 500, lambda iterations, error: seen.append(iterations)))
    assert seen[0] == 5 and seen[-1] == result.iterations


def test_too_few_iterations_are_reported():
    laplacian, data_weight, values = problem()
    result = system_solver(laplacian, data_weight, 1e-6).solve(values, values, Stopping(1e-6, 7))
    assert result.iterations == 7 and not result.converged.any()
