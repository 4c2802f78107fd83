"""The matting filter: against a dense solve, its properties, gradients, hard images, errors."""

import numpy as np
import pytest
import torch
from helpers import oracle
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import ConvergenceWarning, matting_filter
from closedform_wsss.io import from_array
from closedform_wsss.laplacian import KINDS
from closedform_wsss.nn import MattingFilter


def dense(x: torch.Tensor, image: np.ndarray, fidelity: float, eps: float, kind: str = "closed_form") -> torch.Tensor:
    """(L + fidelity)^-1 fidelity x for x (C, H, W) by a dense solve."""
    L = oracle.dense_laplacian(image, eps, kind=kind)
    y = np.linalg.solve(L + fidelity * np.eye(len(L)), fidelity * x.flatten(1).double().numpy().T)
    return torch.from_numpy(y.T.copy()).view(x.shape)


@pytest.mark.parametrize("name", oracle.hard_images())
@pytest.mark.parametrize("fidelity", [1e-4, 3e-3, 1.0])
@pytest.mark.parametrize("laplacian", KINDS)
def test_agrees_with_dense_solve(name, fidelity, laplacian):
    image = oracle.hard_images()[name]
    x = torch.rand(2, *image.shape[1:], dtype=torch.float64) - 0.2
    expected = dense(x, image, fidelity, 1e-6, laplacian)
    target = torch.from_numpy(image.copy())[None]
    exact = matting_filter(x[None], target, fidelity=fidelity, kind=laplacian, tol=1e-10)
    torch.testing.assert_close(exact[0], expected, rtol=0, atol=1e-7)
    single = matting_filter(x[None].float(), target.float(), fidelity=fidelity, kind=laplacian)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single[0].double(), expected, rtol=0, atol=2e-3)


@settings(max_examples=20, deadline=None)
@given(
    h=st.integers(1, 14), w=st.integers(1, 14), fidelity=st.sampled_from([1e-4, 3e-3, 0.1]), seed=st.integers(0, 999)
)
def test_constants_and_means_are_kept_and_maps_go_on_adding_up_to_one(h, w, fidelity, seed):
    torch.manual_seed(seed)
    image, x = torch.rand(1, 3, h, w), torch.rand(1, 3, h, w, dtype=torch.float64).softmax(1)
    constant = torch.full_like(x, 0.3)
    assert torch.equal(matting_filter(constant, image, fidelity=fidelity), constant)
    y = matting_filter(x, image, fidelity=fidelity, tol=1e-7)
    torch.testing.assert_close(y.mean((2, 3)), x.mean((2, 3)), rtol=0, atol=1e-5)
    torch.testing.assert_close(y.sum(1), torch.ones_like(y[:, 0]), rtol=0, atol=1e-5)


def test_a_tiny_fidelity_keeps_the_means_in_float32():
    torch.manual_seed(0)
    image, x = torch.rand(1, 3, 40, 56), torch.rand(1, 2, 40, 56)
    y = matting_filter(x, image, fidelity=1e-10, tol=1e-5)
    assert y.dtype == torch.float32
    torch.testing.assert_close(y.mean((2, 3)), x.mean((2, 3)), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("channels", "radius"), [(3, 2), (9, 1)])
@pytest.mark.parametrize("fidelity", [1e-5, 1e-10])
def test_a_tiny_fidelity_of_larger_windows_and_of_many_channels(channels, radius, fidelity):
    image, x = np.random.default_rng(0).random((channels, 20, 24)), torch.rand(2, 20, 24)
    L = oracle.dense_laplacian(image, 1e-6, radius)
    expected = np.linalg.solve(L + fidelity * np.eye(len(L)), fidelity * x.flatten(1).double().numpy().T).T
    y = matting_filter(x[None], torch.from_numpy(image)[None].float(), fidelity=fidelity, radius=radius, tol=1e-4)
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y[0].flatten(1), expected, rtol=0, atol=1e-4)


def test_flips_commute_and_a_batch_is_its_images():
    image, x = torch.rand(2, 3, 12, 17, dtype=torch.float64), torch.rand(2, 2, 12, 17, dtype=torch.float64)
    y = matting_filter(x, image, tol=1e-8)
    flipped = matting_filter(x.flip(-1), image.flip(-1), tol=1e-8).flip(-1)
    torch.testing.assert_close(flipped, y, rtol=0, atol=1e-6)
    torch.testing.assert_close(matting_filter(x[1:], image[1:], tol=1e-8), y[1:], rtol=0, atol=1e-6)


def test_classes_do_not_mix():
    """On the CPU four are solved at a time."""
    x, image = torch.rand(2, 6, 9, 14).double(), torch.rand(2, 3, 9, 14)
    single = torch.cat([matting_filter(x[:, c : c + 1], image, tol=1e-6) for c in range(6)], 1)
    torch.testing.assert_close(matting_filter(x, image, tol=1e-6), single, rtol=0, atol=1e-5)


def test_any_range():
    """The tolerance is a share of the range: logits of +-1000 are filtered as well as values in [0, 1]."""
    image, x = torch.rand(1, 3, 20, 20, dtype=torch.float64), torch.rand(1, 1, 20, 20, dtype=torch.float64)
    y = matting_filter(x, image)
    torch.testing.assert_close(matting_filter(2000 * x - 1000, image), 2000 * y - 1000, rtol=0, atol=1e-2)


def test_the_image_follows_the_map():
    image, x = torch.rand(1, 3, 40, 60), torch.rand(1, 2, 10, 15)
    small = torch.nn.functional.interpolate(image, (10, 15), mode="bilinear", antialias=True)
    assert torch.equal(matting_filter(x, image), matting_filter(x, small))


def test_radius_two():
    image = oracle.hard_images((8, 9))["photo"]
    x = torch.rand(1, 8, 9, dtype=torch.float64)
    L = oracle.dense_laplacian(image, 1e-4, 2)
    expected = np.linalg.solve(L + 0.01 * np.eye(72), 0.01 * x.flatten().numpy())
    y = matting_filter(x[None], torch.from_numpy(image)[None], fidelity=0.01, eps=1e-4, radius=2, tol=1e-9)
    np.testing.assert_allclose(y.flatten().numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("fidelity", [pytest.param(1e-4, marks=pytest.mark.slow), 3e-3])
@pytest.mark.parametrize("laplacian", KINDS)
def test_gradients(fidelity, laplacian):
    image = torch.rand(1, 3, 3, 4, dtype=torch.float64)
    x = torch.rand(1, 1, 3, 4, dtype=torch.float64, requires_grad=True)

    def run(v):
        return matting_filter(v, image, fidelity=fidelity, kind=laplacian, eps=1e-3, tol=1e-12)

    assert gradcheck(run, x) and gradgradcheck(run, x)
    # Symmetric: the gradient is the filter itself.
    weight = torch.rand_like(x)
    (gradient,) = torch.autograd.grad((run(x) * weight).sum(), x)
    torch.testing.assert_close(gradient, run(weight).detach(), rtol=0, atol=1e-8)


def test_large_gradients_are_filtered_to_the_same_accuracy():
    image = torch.rand(1, 3, 12, 12, dtype=torch.float64)
    x = torch.rand(1, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    small, large = (
        torch.autograd.grad((matting_filter(x, image) * x.detach() * scale).sum(), x)[0] for scale in (1.0, 1e6)
    )
    torch.testing.assert_close(large / 1e6, small, rtol=0, atol=1e-4)


def test_half_precision_and_empty_batch():
    image, x = torch.rand(1, 3, 16, 16), torch.rand(1, 2, 16, 16)
    y = matting_filter(x.half(), image.half())
    assert y.dtype == torch.float32
    torch.testing.assert_close(y, matting_filter(x, image), rtol=0, atol=5e-3)
    assert matting_filter(x[:0], image[:0]).shape == (0, 2, 16, 16)
    assert matting_filter(x[:, :0], image).shape == (1, 0, 16, 16)


@pytest.mark.parametrize("name", oracle.hard_images())
@pytest.mark.parametrize("fidelity", [1e-4, 1e-2])
@pytest.mark.parametrize("laplacian", KINDS)
def test_marks_agree_with_dense_solve(name, fidelity, laplacian):
    image = oracle.hard_images()[name]
    h, w = image.shape[1:]
    x = torch.rand(3, h, w, dtype=torch.float64)
    target = torch.where(torch.rand(h, w) < 0.2, torch.randint(3, (h, w)), 255)
    held = np.where(target.flatten() != 255, 7.0, 0.0)
    marks = (target.flatten()[None] == torch.arange(3)[:, None]).double().numpy()
    L = oracle.dense_laplacian(image, 1e-6, kind=laplacian)
    right = fidelity * x.flatten(1).numpy() + held * marks
    expected = torch.from_numpy(np.linalg.solve(L + np.diag(fidelity + held), right.T).T.copy()).view(x.shape)
    options = {"fidelity": fidelity, "kind": laplacian, "mark_weight": 7.0}
    photo = torch.from_numpy(image.copy())[None]
    exact = matting_filter(x[None], photo, target=target[None], tol=1e-10, **options)
    torch.testing.assert_close(exact[0], expected, rtol=0, atol=1e-7)
    single = matting_filter(x[None].float(), photo.float(), target=target[None].to(torch.uint8), **options)
    torch.testing.assert_close(single[0].double(), expected, rtol=0, atol=2e-3)


def test_gradients_beside_marks():
    image = torch.rand(1, 3, 3, 4, dtype=torch.float64)
    x = torch.rand(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    target = torch.tensor([[[255, 0, 255, 255], [255, 255, 1, 255], [255] * 4]])

    def run(v):
        return matting_filter(v, image, target=target, eps=1e-3, tol=1e-12)

    assert gradcheck(run, x) and gradgradcheck(run, x)


def test_marks_follow_the_map_and_no_mark_is_no_target():
    image, x = torch.rand(1, 3, 12, 16), torch.rand(1, 2, 12, 16).softmax(1)
    nothing = torch.full((1, 24, 32), 255)
    assert torch.equal(matting_filter(x, image, target=nothing), matting_filter(x, image))
    target = nothing.clone()
    target[0, 8:10, 8:10] = 1  # pixel (4, 4) of the map
    y = matting_filter(x, image, target=target, mark_weight=1e4, tol=1e-6)
    torch.testing.assert_close(y[0, :, 4, 4], torch.tensor([0.0, 1.0]), rtol=0, atol=1e-3)
    torch.testing.assert_close(y.sum(1), torch.ones_like(y[:, 0]), rtol=0, atol=1e-4)
    small = torch.full((1, 12, 16), 7)
    small[0, 4, 4] = 1
    other = matting_filter(x, image, target=small, mark_weight=1e4, tol=1e-6, ignore_index=7)
    assert torch.equal(other, y)


@pytest.mark.parametrize("fidelity", [1e-3, 1e-2, 0.1])
@pytest.mark.parametrize("tol", [3e-2, 1e-3])
def test_the_error_is_what_was_asked_for(fidelity, tol):
    """Where the condition is known, the estimate is neither missed nor far below."""
    from skimage.data import astronaut

    image = from_array(astronaut()[:240:2, 150:390:2])[None]
    x = (torch.rand(1, 3, 15, 15) > 0.5).float().repeat_interleave(8, 2).repeat_interleave(8, 3)
    target = torch.full((1, 120, 120), 255)
    target[0, 10, 10:60], target[0, 80:100, 90] = 0, 1
    options = {"target": target, "fidelity": fidelity, "eps": 1e-7}
    exact = matting_filter(x.double(), image, tol=1e-9, max_iter=10_000, **options)
    error = (matting_filter(x, image, tol=tol, **options) - exact).abs().max().item()
    assert error < 2 * tol


def test_module_is_the_function():
    image, x, target = torch.rand(1, 3, 12, 12), torch.rand(1, 2, 12, 12), torch.full((1, 12, 12), 255)
    target[0, 3] = 1
    options = {"mark_weight": 3.0, "fidelity": 0.02, "kind": "learning_based", "eps": 1e-4, "tol": 1e-4}
    module = MattingFilter(**options)
    assert torch.equal(module(x, image, target), matting_filter(x, image, target=target, **options))
    assert torch.equal(module(x, image), matting_filter(x, image, **options))
    assert "mark_weight=3.0" in repr(module)


def test_warns_when_it_stops_early():
    with pytest.warns(ConvergenceWarning, match="matting_filter: stopped after 3 iterations"):
        matting_filter(torch.rand(1, 1, 30, 30), torch.rand(1, 3, 30, 30), max_iter=3)


X, IMAGE = torch.rand(1, 2, 8, 8), torch.rand(1, 3, 8, 8)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X[0], IMAGE), {}, r"x must be \(N, C, H, W\), got shape \(2, 8, 8\)"),
        ((X, IMAGE * 255), {}, r"image must be in \[0, 1\]"),
        ((IMAGE[:, :, :0], IMAGE), {}, ""),
        ((X * torch.inf, IMAGE), {}, "x must be finite, got infinite"),
        ((X.expand(2, -1, -1, -1), IMAGE), {}, "x and image must have the same batch size, got 2 and 1"),
        ((X, IMAGE), {"fidelity": 0.0}, "fidelity must be a finite number > 0, got 0.0"),
        ((X, IMAGE), {"eps": -1e-7}, "eps must be a finite number > 0"),
        ((X, IMAGE), {"radius": 4}, "radius must leave a window"),
        ((X, IMAGE), {"tol": 0}, "tol must be a finite number > 0"),
        ((X, IMAGE), {"target": torch.zeros(1, 8, 8)}, "target must be an integer tensor, got torch.float32"),
        ((X, IMAGE), {"target": torch.full((1, 8, 8), 2)}, "target must hold classes in"),
        ((X, IMAGE), {"target": torch.zeros(2, 8, 8).long()}, r"target must be \(N, H, W\) with N = 1 images"),
        (
            (X, IMAGE),
            {"target": torch.zeros(1, 8, 8).long(), "mark_weight": 0},
            "mark_weight must be a finite number > 0",
        ),
        ((X, IMAGE), {"max_iter": 0}, "max_iter must be an integer >= 1, got 0"),
        ((X, IMAGE), {"ignore_index": "255"}, "ignore_index must be an integer, got str"),
        ((X[:0], IMAGE[:0]), {"num_iters": 0}, "num_iters must be an integer >= 1, got 0"),
    ],
)
def test_errors(arguments, options, message):
    if not message:  # no pixel: nothing to filter
        assert matting_filter(*arguments, **options).shape == arguments[0].shape
        return
    with pytest.raises((TypeError, ValueError), match=f"matting_filter: {message}"):
        matting_filter(*arguments, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("radius", [1, 2])
@pytest.mark.parametrize("marked", [False, True])
def test_an_operator_does_what_its_image_does(kind, radius, marked):
    x, image = torch.rand(2, 3, 12, 15, dtype=torch.float64, requires_grad=True), torch.rand(2, 3, 12, 15).double()
    target = torch.tensor([255, 255, 0, 2])[torch.randint(4, (2, 12, 15))] if marked else None
    laplacian = MattingLaplacian(image, kind=kind, eps=1e-4, radius=radius)
    expected = matting_filter(x, image, target=target, kind=kind, eps=1e-4, radius=radius)
    found = matting_filter(x, laplacian, target=target)
    assert torch.equal(found, expected)
    assert torch.equal(MattingFilter()(x, laplacian, target), expected)
    weight = torch.rand_like(x)
    (gradient,) = torch.autograd.grad((found * weight).sum(), x)
    assert torch.equal(gradient, torch.autograd.grad((expected * weight).sum(), x)[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": 1e-6}, "eps must be left out where image is a MattingLaplacian"),
        ({"kind": "closed_form"}, "kind must be left out"),
        ({"radius": 1}, "radius must be left out"),
    ],
)
def test_an_operator_has_its_own_options(options, message):
    image = torch.rand(1, 3, 8, 9)
    with pytest.raises(ValueError, match=f"matting_filter: {message}"):
        matting_filter(torch.rand(1, 2, 8, 9), MattingLaplacian(image), **options)


def test_an_operator_must_fit_the_maps():
    laplacian = MattingLaplacian(torch.rand(1, 3, 8, 9))
    with pytest.raises(ValueError, match=r"matting_filter: x must be \(N, C, 8, 9\) like the operator, got shape"):
        matting_filter(torch.rand(1, 2, 4, 9), laplacian)
    with pytest.raises(TypeError, match="matting_filter: x is float64 but the operator"):
        matting_filter(torch.rand(1, 2, 8, 9).double(), laplacian)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fidelity": 0}, "fidelity must be a finite number > 0"),
        ({"mark_weight": -1}, "mark_weight must be a finite number > 0"),
        ({"kind": "knn"}, "kind must be one of"),
        ({"eps": 0.0}, "eps must be a finite number > 0"),
        ({"radius": 0}, "radius must be an integer >= 1"),
        ({"tol": 0.0}, "tol must be a finite number > 0"),
        ({"max_iter": 0}, "max_iter must be an integer >= 1"),
    ],
)
def test_the_module_checks_its_options_when_it_is_made(options, message):
    with pytest.raises(ValueError, match=f"MattingFilter: {message}"):
        MattingFilter(**options)


@pytest.mark.parametrize("ignore_index", [-1, 100])
def test_any_label_of_unmarked_pixels(ignore_index):
    """Of a size that is not that of the maps."""
    marks = torch.full((1, 24, 32), 255)
    marks[0, 3, 3:20], marks[0, 20, 3:20] = 0, 1
    x, image = torch.rand(1, 2, 12, 16), torch.rand(1, 3, 24, 32)
    found = matting_filter(x, image, target=marks.masked_fill(marks == 255, ignore_index), ignore_index=ignore_index)
    assert torch.equal(found, matting_filter(x, image, target=marks))
