"""solve_matting against a dense direct solve, and how it converges."""

import warnings

import numpy as np
import pytest
import scipy.sparse.linalg
import torch
from helpers.mattes import dense_mattes, random_marks
from helpers.oracle import dense_laplacian, hard_images

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import ConvergenceWarning, solve_matting
from closedform_wsss.laplacian import KINDS
from closedform_wsss.solver.map_solver import MapSolver
from closedform_wsss.solver.tile_solver import TileSolver

HARD = hard_images((12, 14))


def few_marks():
    """A larger problem, slow without a good preconditioner."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(3, 48, 64)).cumsum(1).cumsum(2) * 0.004 + 0.5 + rng.normal(size=(3, 48, 64)) * 0.01
    target = torch.full((1, 48, 64), 255)
    target[0, 5, 5:20], target[0, 40, 30:60], target[0, 20, 50] = 0, 1, 2
    return torch.from_numpy(np.clip(noise, 0, 1))[None], target


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_with_a_direct_solve(device, name, dtype, kind):
    image = torch.from_numpy(HARD[name])[None].to(device, dtype)
    target = random_marks((12, 14), 3)
    solution = solve_matting(target.to(device), image, kind=kind, eps=1e-5)
    alpha = solution.alpha
    error = (alpha[0].cpu().double() - dense_mattes(image[0].cpu(), target[0], 3, eps=1e-5, kind=kind)).abs().max()
    assert solution.converged and solution.error <= 1e-3
    assert error < 1e-3 and alpha.dtype == dtype


def test_tight_tolerance_in_float64():
    image = torch.from_numpy(HARD["photo"])[None]
    target = random_marks((12, 14), 2)
    alpha = solve_matting(target, image, tol=1e-9).alpha
    assert (alpha[0] - dense_mattes(image[0], target[0], 2)).abs().max() < 1e-7


@pytest.mark.parametrize("tol", [1e-2, 1e-3, 1e-4])
def test_the_error_is_below_tol(any_levels, tol):
    """tol is in alpha: on a larger problem, against scipy's direct solver."""
    image, target = few_marks()
    laplacian = MattingLaplacian(image)
    D = (target != 255).double().numpy().ravel() * 100
    right = np.stack([D * (target == c).numpy().ravel() for c in range(3)], 1)
    expected = scipy.sparse.linalg.spsolve((laplacian.to_scipy(0) + scipy.sparse.diags(D)).tocsc(), right)
    solution = solve_matting(target, laplacian, tol=tol)
    alpha = solution.alpha
    assert solution.converged
    assert np.abs(alpha[0].reshape(3, -1).T.numpy() - expected).max() < tol


def test_mattes_add_up_to_one_and_unmarked_classes_are_zero():
    image, target = torch.rand(2, 3, 10, 12), random_marks((10, 12), 3, n=2)
    target[1][target[1] == 1] = 255  # the second image lacks class 1
    alpha = solve_matting(target, image, num_classes=5).alpha
    assert alpha.shape == (2, 5, 10, 12)
    torch.testing.assert_close(alpha.sum(1), torch.ones(2, 10, 12))
    assert (alpha[:, 3:] == 0).all() and (alpha[1, 1] == 0).all()
    for n in range(2):
        torch.testing.assert_close(alpha[n].double(), dense_mattes(image[n], target[n], 5), rtol=0, atol=1e-3)


def test_batches_are_solved_as_single_images():
    image, target = torch.rand(3, 3, 9, 9), random_marks((9, 9), 2, n=3)
    together = solve_matting(target, image, tol=1e-5).alpha
    for n in range(3):
        torch.testing.assert_close(
            together[n : n + 1],
            solve_matting(target[n : n + 1], image[n : n + 1], tol=1e-5).alpha,
            rtol=0,
            atol=1e-4,
        )


@pytest.mark.parametrize("radius", [1, 2])
def test_many_classes(radius, monkeypatch):
    """More than are solved at a time on the CPU; which ones an image has is its own affair."""
    at_a_time = []
    solver = TileSolver if radius == 1 else MapSolver
    solve = solver.solve

    def counted(self, values, *given, **options):
        at_a_time.append(values.shape[1])
        return solve(self, values, *given, **options)

    monkeypatch.setattr(solver, "solve", counted)
    image = torch.from_numpy(np.stack([HARD["photo"], HARD["photo"][:, ::-1]]))
    target = torch.stack([random_marks((12, 14), 11)[0], 3 + random_marks((12, 14), 6)[0]])
    target[target > 11] = 255
    options = {"eps": 1e-5, "radius": radius}
    alpha = solve_matting(target, image, **options).alpha
    assert at_a_time == [4, 4, 2]  # one of 11 is what the others leave
    for i in range(2):
        expected = dense_mattes(image[i], target[i], 11, **options)
        assert (alpha[i] - expected).abs().max() < 1e-3
    with pytest.warns(ConvergenceWarning):  # every class starts where it was
        again = solve_matting(target, image, initial=alpha, max_iter=1, **options).alpha
    assert (again - alpha).abs().max() < 1e-3


def test_one_class_is_one_everywhere():
    target = torch.full((1, 8, 8), 255)
    target[0, 3, 3] = 0
    assert (solve_matting(target, torch.rand(1, 3, 8, 8)).alpha == 1).all()


@pytest.mark.parametrize(
    ("values", "cure"),
    [
        ((0, 1), r"0 on \d+ pixels, 1 on \d+ pixels: if 0 means unmarked, pass marks.masked_fill\(marks == 0, 255\)"),
        ((0, 1, 2), r"a trimap whose 1 is unknown, torch.tensor\(\[0, 255, 1\]\)\[marks\]"),
        ((1, 2), r"if 1 means unmarked"),
    ],
)
def test_every_pixel_marked(values, cure):
    target = torch.tensor(values).repeat(8, 12)[None, :, :12]
    with pytest.raises(ValueError, match=f"every image needs unmarked pixels, .* got none in image 0 .*{cure}"):
        solve_matting(target, torch.rand(1, 3, 8, 12))


def test_a_single_marked_pixel_is_its_mark():
    assert solve_matting(torch.ones(1, 1, 1, dtype=torch.long), torch.rand(1, 3, 1, 1)).alpha.flatten().tolist() == [
        0,
        1,
    ]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_a_raw_trimap_is_refused(dtype):
    trimap = torch.full((1, 40, 60), 128)
    trimap[..., :15], trimap[..., 45:] = 0, 255
    with pytest.raises(ValueError, match=r"got the values \[0, 128, 255\] of a trimap: pass .*from_trimap"):
        solve_matting(trimap.to(dtype), torch.rand(1, 3, 40, 60))
    with pytest.raises(ValueError, match=r"got \[128\]: 0, 128 and 255 are those of a trimap"):
        solve_matting(trimap.to(dtype), torch.rand(1, 3, 40, 60), num_classes=2)
    assert solve_matting(trimap.to(dtype), torch.rand(1, 3, 40, 60), num_classes=129).alpha.shape[1] == 129


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (2, 5)])
def test_tiny_images(size):
    target = torch.full((1, *size), 255)
    target[0, 0, 0], target[0, -1, -1] = 0, 1
    image = torch.rand(1, 3, *size, dtype=torch.float64)
    classes = int(target[target < 255].max()) + 1
    torch.testing.assert_close(
        solve_matting(target, image).alpha[0], dense_mattes(image[0], target[0], classes), rtol=0, atol=1e-3
    )


def test_one_class_alone(level):
    """Nothing is left to solve for, so the kernels get maps of no class."""
    target = torch.full((2, 20, 30), 255)
    target[:, 3, 4] = 0
    solution = solve_matting(target, torch.rand(2, 3, 20, 30))
    assert (solution.alpha == 1).all() and solution.converged and solution.iterations == 0


def test_one_class_of_the_learning_based_laplacian():
    """Nothing comes free there: its rows do not sum to zero, so that even one class alone has to be solved for."""
    image = torch.rand(1, 3, 10, 12, dtype=torch.float64)
    target = random_marks((10, 12), 1)
    alpha = solve_matting(target, image, kind="learning_based", eps=1e-3, tol=1e-8).alpha
    expected = dense_mattes(image[0], target[0], 1, eps=1e-3, kind="learning_based")
    torch.testing.assert_close(alpha[0], expected, rtol=0, atol=1e-6)
    assert (expected < 0.9999).any()


def test_larger_windows():
    image, target = torch.rand(1, 3, 10, 11, dtype=torch.float64), random_marks((10, 11), 2)
    alpha = solve_matting(target, image, radius=2, eps=1e-4).alpha
    torch.testing.assert_close(alpha[0], dense_mattes(image[0], target[0], 2, eps=1e-4, radius=2), rtol=0, atol=1e-3)
    image, target = few_marks()
    solution = solve_matting(target, image, radius=2)
    assert solution.converged and solution.iterations <= 30  # 25; the diagonal alone takes 492


def test_larger_windows_of_the_learning_based_laplacian_are_solved_in_float64():
    """An image with clipped regions: the smallest energies are lost in float32."""
    coarse = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(3))
    image = ((torch.nn.functional.interpolate(coarse, (20, 25), mode="bilinear") - 0.3) * 2.5).clamp(0, 1)
    target = torch.full((20, 25), 255)
    target[3, 2:20], target[15, 2:20] = 0, 1
    solution = solve_matting(target[None], image, kind="learning_based", radius=2)
    assert solution.converged and solution.alpha.dtype == torch.float32
    expected = dense_mattes(image[0], target, 2, radius=2, kind="learning_based")
    torch.testing.assert_close(solution.alpha[0].double(), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("mark_weight", [1e-7, 1e-10])
@pytest.mark.parametrize("radius", [1, 2])
def test_marks_of_a_tiny_weight(mark_weight, radius):
    image, target = few_marks()
    image, target = image[..., :32, :40], target[:, :32, :40].clone()
    target[0, 28, 5:30] = 1
    solution = solve_matting(target, image.float(), mark_weight=mark_weight, eps=1e-3, radius=radius, num_classes=2)
    assert solution.converged and solution.alpha.dtype == torch.float32
    expected = dense_mattes(image[0], target[0], 2, mark_weight, 1e-3, radius)
    torch.testing.assert_close(solution.alpha[0].double(), expected, rtol=0, atol=1e-3)


def test_soft_targets():
    image, values = torch.rand(1, 3, 9, 10, dtype=torch.float64), torch.rand(1, 2, 9, 10, dtype=torch.float64)
    data_weight = torch.rand(1, 9, 10, dtype=torch.float64)
    L = dense_laplacian(image[0].numpy(), 1e-5)
    D = np.diag(data_weight.numpy().ravel())
    expected = np.linalg.solve(L + D, D @ values[0].reshape(2, -1).T.numpy()).T.reshape(2, 9, 10)
    alpha = solve_matting(values, image, mark_weight=data_weight, eps=1e-5, tol=1e-6).alpha
    np.testing.assert_allclose(alpha[0].numpy(), expected, rtol=0, atol=1e-5)


def test_confidence_map_of_marks():
    image, target = torch.rand(1, 3, 9, 10, dtype=torch.float64), random_marks((9, 10), 2)
    data_weight = torch.rand(1, 9, 10, dtype=torch.float64) + 0.5
    alpha = solve_matting(target, image, mark_weight=data_weight, eps=1e-5, tol=1e-6).alpha
    expected = dense_mattes(image[0], target[0], 2, mark_weight=data_weight.numpy().ravel(), eps=1e-5)
    torch.testing.assert_close(alpha[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("radius", [1, 2])
def test_a_class_whose_marks_weigh_nothing_has_no_huge_residual(radius):
    image, target = few_marks()
    target[target == 2] = 255
    weight = torch.where(target == 0, 0.0, 100.0)
    solution = solve_matting(target, image, mark_weight=weight, radius=radius, tol=1e-6)
    assert solution.converged and solution.residual < 1e-3
    assert solution.alpha[:, 0].abs().max() < 1e-5


def test_the_residual_is_that_of_all_classes():
    """Also of those that converge first, and are left out of later iterations."""
    image, random = few_marks()[0], torch.Generator().manual_seed(1)
    chosen = torch.rand(1, 48, 64, generator=random) < 0.02
    target = torch.where(chosen, torch.randint(0, 5, (1, 48, 64), generator=random), 255)
    target[0, :3, :20] = 3
    solution = solve_matting(target, image, tol=1e-2)
    L, D, alpha = dense_laplacian(image[0].numpy()), 100 * (target != 255).flatten(), solution.alpha[0].flatten(1)
    b = torch.stack([D * (target == c).flatten() for c in range(5)]).double()
    r = b - D * alpha - alpha @ torch.from_numpy(L)
    assert solution.residual == pytest.approx(float((r.norm(dim=1) / b.norm(dim=1)).max()), rel=1e-3)


def test_warm_start_needs_fewer_iterations():
    image, target = torch.rand(1, 3, 30, 30), random_marks((30, 30), 2, share=0.01)
    cold = solve_matting(target, image)
    alpha = cold.alpha
    warm = solve_matting(target, image, initial=alpha)
    again = warm.alpha
    assert warm.iterations < cold.iterations
    torch.testing.assert_close(again, alpha, rtol=0, atol=1e-3)


def test_says_that_it_did_not_converge():
    image, target = torch.rand(1, 3, 30, 30), random_marks((30, 30), 2, share=0.01)
    with pytest.warns(ConvergenceWarning, match="stopped after 5 iterations .* above tol 0.001"):
        solution = solve_matting(target, image, max_iter=5)
    assert not solution.converged and solution.iterations == 5


def test_an_odd_pixel_does_not_upset_the_solver():
    """Bright specks on a smooth ground: rows of L with tiny diagonals, where Jacobi's largest eigenvalue hides."""
    ramp = torch.linspace(0.1, 0.2, 40)
    image = (ramp[:, None] + ramp).expand(1, 3, 40, 40).clone() + torch.rand(1, 3, 40, 40) * 2e-3
    image[:, :, 3::9, 4::9] += torch.tensor([0.5, 0.2, 0.05])[:, None, None]
    target = torch.full((1, 40, 40), 255)
    target[0, 2, 2:20], target[0, 36, 10:38] = 0, 1
    solution = solve_matting(target, image)
    alpha = solution.alpha
    assert solution.converged and solution.iterations < 200
    assert (alpha[0].double() - dense_mattes(image[0], target[0], 2)).abs().max() < 2e-3


def test_a_broken_operator_is_reported(monkeypatch):
    """Divergence gives a warning and finite values, never NaN."""
    monkeypatch.setattr("closedform_wsss.solver.tile_solver.JACOBI_STEPS", (-50.0, -50.0))
    image, target = torch.rand(1, 3, 30, 30), random_marks((30, 30), 2, share=0.01)
    with pytest.warns(ConvergenceWarning):
        solution = solve_matting(target, image, max_iter=300)
        alpha = solution.alpha
    assert alpha.isfinite().all() and not solution.converged


def test_callback_reports_progress():
    seen = []
    image, target = torch.rand(1, 3, 30, 30), random_marks((30, 30), 2, share=0.01)
    solution = solve_matting(target, image, callback=lambda *report: seen.append(report))
    assert [i for i, _ in seen] == sorted({i for i, _ in seen}) and seen[-1] == (solution.iterations, solution.error)


def test_no_warning_when_all_is_well():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve_matting(random_marks((12, 12), 2), torch.rand(1, 3, 12, 12))


def test_empty_batch():
    target = torch.zeros(0, 8, 8, dtype=torch.long)
    assert solve_matting(target, torch.rand(0, 3, 8, 8), num_classes=2).alpha.shape == (0, 2, 8, 8)
