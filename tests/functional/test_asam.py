"""ASAM: its kernels against naive loops and dense matrices, gradients, properties, errors."""

import numpy as np
import pytest
import torch
from helpers import oracle
from helpers.superpixels import GRIDS, association, cells, gridded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.library import opcheck

from closedform_wsss import Superpixels, _ops, _reference
from closedform_wsss.functional import asam, asam_affinity, superpixel_pool, superpixel_unpool

LARGE = [(130, 131, 64), (90, 170, 5), (65, 600, 600), (48, 64, 16)]


@pytest.mark.parametrize("grid", GRIDS)
def test_affinity_agrees_with_naive_loop(level, grid):
    q = association(2, *grid)
    shared = _ops.asam_affinity(q, grid[2])
    for n in range(2):
        np.testing.assert_allclose(
            shared[n].numpy(force=True), oracle.shared_pixels(q[n].numpy(force=True), grid[2]), atol=1e-12
        )


@pytest.mark.parametrize("grid", GRIDS)
def test_affinity_is_the_formula(grid):
    """A = sum q q / sum q, where the weights add up to 1 and a superpixel has pixels."""
    q = association(1, *grid)
    weight = oracle.superpixel_sums(np.ones((1, *grid[:2])), q[0].numpy(force=True), grid[2])
    expected = oracle.shared_pixels(q[0].numpy(force=True), grid[2]) / weight
    np.testing.assert_allclose(asam_affinity(Superpixels(q, grid[2]))[0].numpy(force=True), expected, atol=1e-12)


@pytest.mark.parametrize("grid", GRIDS + LARGE)
def test_kernels_agree_with_their_references(level, grid):
    h, w = cells(*grid)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        q = association(2, *grid, dtype)
        expected = _reference.asam_affinity(q, grid[2])
        torch.testing.assert_close(_ops.asam_affinity(q, grid[2]), expected, rtol=tolerance, atol=tolerance)
        for channels in (1, 2, 7):
            affinity, s = torch.randn(2, 25, h, w, dtype=dtype), torch.randn(2, channels, h, w, dtype=dtype)
            for transposed in (False, True):
                for num_steps, decay, restart, keep in (
                    (1, 1.0, 0.0, False),
                    (3, 0.2, 0.7, True),
                    (4, 0.1, 0.0, False),
                ):
                    options = (num_steps, decay, restart, transposed, keep)
                    got, expected = (run(affinity, s, *options) for run in (_ops.asam_steps, _reference.asam_steps))
                    torch.testing.assert_close(got, expected, rtol=10 * tolerance, atol=10 * tolerance)


def test_steps_are_products_with_the_matrix(level):
    affinity, s = torch.randn(1, 25, 5, 11, dtype=torch.float64), torch.randn(1, 3, 5, 11, dtype=torch.float64)
    A = oracle.asam_matrix(affinity[0].numpy(force=True))
    flat = s[0].flatten(1).numpy(force=True).T
    for transposed, matrix in ((False, A), (True, A.T)):
        expected = [flat]
        for num_steps in range(4):
            y, iterates = _ops.asam_steps(affinity, s, num_steps, 0.7, 0.2, transposed, True)
            for got, y_t in zip([*iterates[:, 0], y[0]], expected[min(num_steps, 1) :], strict=True):
                np.testing.assert_allclose(got.flatten(1).numpy(force=True).T, y_t, rtol=1e-12, atol=1e-12)
            expected.append(0.7 * matrix @ expected[-1] + 0.2 * flat)


@settings(max_examples=25, deadline=None)
@given(h=st.integers(1, 40), w=st.integers(1, 40), size=st.integers(1, 12), seed=st.integers(0, 1000))
def test_rows_add_up_to_one_and_the_counts_are_symmetric(h, w, size, seed):
    torch.manual_seed(seed)
    q = association(1, h, w, size)
    affinity = asam_affinity(Superpixels(q, size))
    torch.testing.assert_close(affinity.sum(1), torch.ones(1, *cells(h, w, size), dtype=torch.float64))
    assert (affinity >= 0).all()
    B = oracle.asam_matrix(_ops.asam_affinity(q, size)[0].numpy(force=True))
    np.testing.assert_allclose(B, B.T, atol=1e-12)
    assert np.linalg.eigvalsh(B).min() > -1e-9


@settings(max_examples=25, deadline=None)
@given(h=st.integers(1, 40), w=st.integers(1, 40), size=st.integers(1, 12), seed=st.integers(0, 1000))
def test_constants_stay_and_the_range_holds(h, w, size, seed):
    torch.manual_seed(seed)
    q, cam = association(1, h, w, size), torch.rand(1, 2, h, w, dtype=torch.float64)
    constant = torch.full_like(cam, 0.3)
    for restart in (0.0, 0.2):
        torch.testing.assert_close(asam(constant, Superpixels(q, size), restart=restart), constant)
        out = asam(cam, Superpixels(q, size), num_iters=3, restart=restart)
        assert out.min() >= cam.min() - 1e-9 and out.max() <= cam.max() + 1e-9


@pytest.mark.parametrize("flip", [(-1,), (-2,), (-1, -2)])
def test_flips_commute(flip):
    """Where cells divide the image: a flip of it reverses the nine neighbours in the flipped directions."""
    q, cam = association(1, 24, 32, 8), torch.rand(1, 2, 24, 32, dtype=torch.float64)
    order = torch.arange(9).view(3, 3).flip([d for d in flip]).flatten()
    flipped = asam(cam.flip(flip), Superpixels(q.flip(flip)[:, order], 8), num_iters=4)
    torch.testing.assert_close(flipped.flip(flip), asam(cam, Superpixels(q, 8), num_iters=4))


@pytest.mark.parametrize("restart", [0.0, 0.15])
def test_asam_is_its_formula(restart):
    q, cam = association(2, 21, 26, 5), torch.rand(2, 3, 21, 26, dtype=torch.float64)
    got = asam(cam, Superpixels(q, 5), num_iters=7, restart=restart)
    start = superpixel_pool(cam, Superpixels(q, 5))
    for n in range(2):
        A = oracle.asam_matrix(asam_affinity(Superpixels(q, 5))[n].numpy(force=True))
        s0 = start[n].flatten(1).numpy(force=True).T
        s = s0
        for _ in range(7):
            s = (1 - restart) * A @ s + restart * s0
        s = torch.from_numpy(s.T.copy()).view(1, 3, 5, 6)
        torch.testing.assert_close(got[n : n + 1], superpixel_unpool(s, Superpixels(q[n : n + 1], 5)))


def test_restart_converges_to_its_limit_and_tol_stops_there():
    q, cam = association(1, 24, 24, 6), torch.rand(1, 1, 24, 24, dtype=torch.float64)
    A = oracle.asam_matrix(asam_affinity(Superpixels(q, 6))[0].numpy(force=True))
    s0 = superpixel_pool(cam, Superpixels(q, 6))[0].flatten(1).numpy(force=True).T
    limit = np.linalg.solve(np.eye(len(A)) - 0.7 * A, 0.3 * s0)
    expected = superpixel_unpool(torch.from_numpy(limit.T.copy()).view(1, 1, 4, 4), Superpixels(q, 6))
    got = asam(cam, Superpixels(q, 6), num_iters=1000, restart=0.3, tol=1e-12)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-10)
    once = asam(cam, Superpixels(q, 6), num_iters=1000, tol=1.0)  # the first step changes less than that
    torch.testing.assert_close(once, asam(cam, Superpixels(q, 6), num_iters=1))


def test_a_change_of_tol_is_small_enough():
    """Two pixels share their superpixels: the first step changes values by 3 / 16, exactly, the next ones by less."""
    q, cam = torch.zeros(1, 9, 1, 2, dtype=torch.float64), torch.tensor([[[[1.0, 0.0]]]], dtype=torch.float64)
    q[0, 4], q[0, 5, 0, 0], q[0, 3, 0, 1] = 0.75, 0.25, 0.25
    for tol, steps in ((3 / 16, 1), (np.nextafter(3 / 16, 0), 2)):
        found, expected = (asam(cam, Superpixels(q, 1), **v) for v in ({"tol": tol}, {"num_iters": steps}))
        assert torch.equal(found, expected)


def test_a_superpixel_without_pixels_keeps_its_value():
    q = torch.zeros(1, 9, 8, 8, dtype=torch.float64)
    q[:, 4] = 1
    q[:, 4, :, :4] = 0
    q[:, 5, :, :4] = 1  # the left cells give all their pixels to the right ones
    affinity = asam_affinity(Superpixels(q, 4))
    assert (affinity[0, 12] == 1).all()
    out = asam(torch.rand(1, 1, 8, 8, dtype=torch.float64), Superpixels(q, 4))
    assert torch.isfinite(out).all()


def test_classes_absent_become_zero_and_cams_are_resized():
    q, cam = association(2, 32, 40, 8, torch.float32), torch.rand(2, 3, 4, 5)
    present = torch.tensor([[True, False, True], [False, True, True]])
    out = asam(cam, Superpixels(q, 8), class_present=present)
    assert out.shape == (2, 3, 32, 40)
    assert (out[0, 1] == 0).all() and (out[1, 0] == 0).all()
    full = torch.nn.functional.interpolate(cam, (32, 40), mode="bilinear")
    torch.testing.assert_close(out[:, 2], asam(full, Superpixels(q, 8))[:, 2])


@pytest.mark.slow
def test_gradients():
    q = association(1, 5, 7, 3).requires_grad_()
    cam = torch.rand(1, 2, 5, 7, dtype=torch.float64, requires_grad=True)
    affinity = torch.rand(1, 25, 2, 3, dtype=torch.float64, requires_grad=True)
    s = torch.rand(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    smaller = [x[..., :2].detach().requires_grad_() for x in (affinity, s[:, :1])]
    assert gradcheck(lambda v: _ops.asam_affinity(v, 3), q)
    assert gradgradcheck(lambda v: _ops.asam_affinity(v, 2), association(1, 3, 4, 2).requires_grad_())
    for transposed in (False, True):
        for num_steps, restart, keep in ((0, 0.0, True), (1, 0.0, False), (3, 0.2, True), (3, 0.2, False)):
            options = (num_steps, 0.5, restart, transposed, keep)
            assert gradcheck(lambda a, v, o=options: _ops.asam_steps(a, v, *o), (affinity, s))
            assert gradgradcheck(lambda a, v, o=options: _ops.asam_steps(a, v, *o), smaller)
    assert gradcheck(lambda v, w: asam(v, Superpixels(w, 3), num_iters=2, restart=0.1), (cam, q))


@pytest.mark.slow
def test_opcheck():
    q = association(1, 5, 7, 3).requires_grad_()
    affinity = torch.rand(1, 25, 2, 3, requires_grad=True)
    s = torch.rand(1, 2, 2, 3, requires_grad=True)
    opcheck(_ops.asam_affinity.default, (q, 3))
    for transposed, keep in ((False, True), (True, True), (False, False)):
        opcheck(_ops.asam_steps.default, (affinity, s, 3, 0.9, 0.1, transposed, keep))


def test_compiles():
    q, cam = association(1, 24, 20, 8, torch.float32), torch.rand(1, 2, 24, 20)
    compiled = torch.compile(lambda c, v: asam(c, Superpixels(v, 8)), fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(cam, q), asam(cam, Superpixels(q, 8)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    q, cam = association(1, 24, 24, 8, torch.float32), torch.rand(1, 2, 24, 24)
    out = asam(cam.to(dtype), Superpixels(q.to(dtype), 8))
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, asam(cam, Superpixels(q, 8)), rtol=0.02, atol=0.02)


def test_same_bits_for_any_number_of_threads(threads):
    q, cam = association(2, 90, 70, 7, torch.float32), torch.rand(2, 9, 90, 70)
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(asam(cam, Superpixels(q, 7)))
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_empty_batch():
    assert asam(torch.rand(0, 3, 8, 8), Superpixels(torch.rand(0, 9, 8, 8), 4)).shape == (0, 3, 8, 8)
    assert asam_affinity(Superpixels(torch.rand(0, 9, 8, 8), 4)).shape == (0, 25, 2, 2)


@pytest.mark.parametrize("n", [0, 2])
def test_images_without_classes(n):
    superpixels = Superpixels(association(2, 8, 8, 4)[:n], 4)
    for size in ((8, 8), (3, 2)):
        cam = torch.rand(n, 0, *size, requires_grad=True)
        out = asam(cam, superpixels)
        assert out.shape == (n, 0, 8, 8)
        out.sum().backward()


Q, CAM = association(2, 8, 8, 4), torch.rand(2, 3, 8, 8)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_error_names_weights_that_are_not_finite(value):
    """In a row that the check of their sum does not read."""
    wrong = Q.clone()
    wrong[0, 4, 1, 5] = value
    for name, call in (
        ("asam", lambda: asam(CAM, Superpixels(wrong, 4))),
        ("asam_affinity", lambda: asam_affinity(Superpixels(wrong, 4))),
    ):
        with pytest.raises(ValueError, match=f"{name}: superpixels.assignment must be finite"):
            call()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((CAM, Q[:, :5]), {}, r"superpixels.assignment must be soft \(N, 9, H, W\)"),
        ((CAM, torch.zeros(2, 8, 8, dtype=torch.long)), {}, r"superpixels must be soft, got labels \(2, 8, 8\)"),
        (
            (CAM, torch.softmax(torch.zeros(2, 9, 8, 8), 1)),
            {},
            "superpixels.assignment must add up to 1 over the superpixels inside the grid",
        ),
        ((CAM[:1], Q), {}, "cam and image must have the same batch size|cam"),
        ((CAM.int(), Q), {}, "cam must be floating point"),
        ((CAM * torch.nan, Q), {}, "cam must be finite, got NaN"),
        ((CAM, Q), {"num_iters": -1}, "num_iters must be an integer >= 0, got -1"),
        ((CAM, Q), {"restart": 1.5}, r"restart must be a number in \[0, 1\], got 1.5"),
        ((CAM, Q), {"tol": 0.0}, "tol must be a finite number > 0"),
        ((CAM, Q), {"class_present": torch.ones(3)}, r"class_present must be \(N, C\) = \(2, 3\)"),
        ((CAM, Q), {"class_present": torch.full((2, 3), 2.0)}, "class_present must be bool or in"),
        ((CAM, Q), {"class_present": [True]}, "class_present must be a tensor, got list"),
        ((CAM, Superpixels(Q, True)), {}, "cell_size must be an integer"),
    ],
)
def test_errors(arguments, options, message):
    with pytest.raises((TypeError, ValueError), match=f"asam: .*({message})"):
        asam(arguments[0], gridded(arguments[1]), **options)
