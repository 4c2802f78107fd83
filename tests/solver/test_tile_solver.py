"""The solver on tiles: the accuracy of float32, and classes that converge before others."""

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
import torch
from helpers.strokes import photograph, strokes

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import solve_matting
from closedform_wsss.laplacian import KINDS
from closedform_wsss.solver.cg import PCGResult, by_classes


def direct(image, target, classes, kind, radius=1):
    laplacian = MattingLaplacian(image, kind=kind, radius=radius)
    D = (target != 255).double().numpy().ravel() * 100
    right = np.stack([D * (target == c).numpy().ravel() for c in range(classes)], 1)
    system = laplacian.to_scipy(0) + scipy.sparse.diags(D)
    return scipy.sparse.linalg.spsolve(system.tocsc(), right).T.reshape(classes, *target.shape[1:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_photograph(any_levels, kind, dtype):
    """Few marks on many pixels; also with levels below the tiles."""
    size = (90, 131)
    image, target = photograph(size), strokes(size, 5)
    solution = solve_matting(target, image.to(dtype), kind=kind)
    alpha = solution.alpha
    assert solution.converged and solution.iterations < 120 and 0 <= solution.residual < 1e-3
    assert np.abs(alpha[0].double().numpy() - direct(image, target, 5, kind)).max() < 1e-3


@pytest.mark.parametrize(("kind", "radius"), [("closed_form", 1), ("learning_based", 1), ("closed_form", 2)])
@pytest.mark.parametrize("columns", [1, 3])
def test_a_batch(device, small_levels, kind, radius, columns):
    """One right-hand side or three, on several levels."""
    size, classes = (60, 90), columns + (kind == "closed_form")  # the closed form's last class is what the others leave
    image, target = photograph(size), strokes(size, classes)
    image, target = (torch.cat([x, x.flip(-1), x.flip(-2)]) for x in (image, target))
    solution = solve_matting(target.to(device), image.float().to(device), kind=kind, radius=radius)
    assert solution.converged and len(small_levels) == (radius == 1)
    for n in range(3):
        expected = direct(image[n : n + 1], target[n : n + 1], classes, kind, radius)
        assert np.abs(solution.alpha[n].double().numpy(force=True) - expected).max() < 1e-3


@pytest.mark.parametrize("size", [(160, 321), (322, 160), (321, 322)])
def test_last_tiles_too_narrow_for_a_window(small_levels, size):
    """Alone they have no energy, so they must share a block with a neighbour on every level."""
    solution = solve_matting(strokes(size, 3), photograph(size).float())
    assert (
        solution.converged and solution.iterations <= 44
    )  # as many as 320 x 160 takes, and some; 60 to 170 would be wrong


def test_classes_stop_one_by_one(any_levels):
    """Classes whose strokes are next to each other, and one that starts from its solution."""
    size = (60, 80)
    image, target = photograph(size), strokes(size, 7)
    expected = torch.from_numpy(direct(image, target, 7, "closed_form"))[None]
    start = expected.clone()
    start[:, 6] = 0.3
    solution = solve_matting(target, image, initial=start, tol=1e-5)
    alpha = solution.alpha
    assert solution.converged
    torch.testing.assert_close(alpha, expected, rtol=0, atol=1e-5)


def test_a_few_classes_at_a_time_are_put_together_again():
    """On the CPU. The figures are those of the worst class."""
    asked = []

    def solve(b, x):
        asked.append(b.shape[1])
        last = torch.arange(b.shape[1]) + 4 * (len(asked) - 1)
        return PCGResult(b + x, 7 + len(asked), last[None].double(), last[None] != 8, -last[None].double())

    b, x = torch.rand(1, 9, 3, 4), torch.rand(1, 9, 3, 4)
    result = by_classes(solve, b, x)
    assert asked == [4, 4, 1] and torch.equal(result.x, b + x) and result.iterations == 10
    assert result.error[0].tolist() == list(range(9)) and result.residual[0].tolist() == [-c for c in range(9)]
    assert result.converged[0].tolist() == [True] * 8 + [False]


@pytest.mark.parametrize("channels", [2, 9])
def test_other_numbers_of_channels(channels):
    """Nine are more than the kernel of the energies takes: the solver on whole maps."""
    torch.manual_seed(0)
    image = torch.rand(1, channels, 40, 35, dtype=torch.float64)
    target = strokes((40, 35), 2)
    solution = solve_matting(target, image)
    alpha = solution.alpha
    assert solution.converged
    assert np.abs(alpha[0].numpy() - direct(image, target, 2, "closed_form")).max() < 1e-3


def test_results_do_not_depend_on_the_number_of_threads(any_levels, threads):
    image, target = photograph((90, 131)).float(), strokes((90, 131), 4)
    alphas = []
    for number in (1, 2):
        torch.set_num_threads(number)
        alphas.append(solve_matting(target, image).alpha)
    torch.testing.assert_close(alphas[0], alphas[1], rtol=0, atol=1e-3)
