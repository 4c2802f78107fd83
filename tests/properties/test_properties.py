"""What holds for every public function, whatever the images' size, the tensors' layout and their type."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from helpers.arguments import C, calls
from helpers.layouts import LAYOUTS
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from closedform_wsss import MattingLaplacian, Superpixels, _ops, _reference, functional
from closedform_wsss.laplacian import KINDS

NAMES = sorted(calls(1, 3, 3))
METRICS = (
    *("sad", "mse", "gradient_error", "connectivity_error", "ConfusionMatrix"),
    *("boundary_recall", "undersegmentation_error", "achievable_segmentation_accuracy"),
)
# What a mirrored image gives mirrored; the grid of superpixels starts at the upper left.
MIRRORED = (
    *("background_score", "calibrate_cam", "estimate_foreground", "matting_filter", "MattingLaplacian"),
    *("pseudo_labels", "solve_matting"),
)
ONE_BY_ONE = (
    *(
        "asam_affinity",
        "asam",
        "test_time_augmentation",
        "background_score",
        "classes_present",
        "calibrate_cam",
        "dense_crf",
        "estimate_foreground",
        "matting_filter",
    ),
    *("MattingLaplacian", "pseudo_labels", "refine_cam", "resize_marks", "slic", "soft_slic", "solve_matting"),
    *("superpixel_pool", "superpixel_unpool"),
)

# Options that the seed chooses from.
VARIANTS: dict[str, tuple[Any, ...]] = {
    **{"kind": KINDS, "form": ("residual", "residual", "energy"), "reduction": ("mean", "sum")},
    **{"activation": ("softmax", "sigmoid", None), "weighting": ("agreement", "majority", "purity")},
}

# The same examples in every run: a failure is one of the code, and comes again.
EXAMPLES = settings(max_examples=12, deadline=None, derandomize=True)
SIZES = st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13))
HALVES = (torch.float16, torch.bfloat16)
INTEGERS = (torch.uint8, torch.int16, torch.int32, torch.int64)


def prepared(name: str, size: tuple[int, int, int], seed: int) -> tuple[Callable[..., Any], dict[str, Any]]:
    torch.manual_seed(seed)
    function, arguments = calls(*size)[name]
    chosen = {key: values[seed % len(values)] for key, values in VARIANTS.items() if key in arguments}
    return function, arguments | chosen


def changed(arguments: dict[str, Any], change: Callable[[Tensor], Tensor]) -> dict[str, Any]:
    """The arguments with all tensors changed."""
    return {name: change(value) if isinstance(value, Tensor) else value for name, value in arguments.items()}


def precise(arguments: dict[str, Any]) -> dict[str, Any]:
    """In float64, and solved as far as that goes."""
    wide = changed(arguments, lambda x: x.double() if x.is_floating_point() else x)
    return wide | ({"tol": 1e-9} if "tol" in arguments else {})


@pytest.mark.parametrize("name", NAMES)
@given(size=SIZES, seed=st.integers(0, 999), layouts=st.lists(st.sampled_from(LAYOUTS), min_size=6, max_size=6))
@EXAMPLES
def test_layouts_change_neither_result_nor_argument(
    name: str, size: tuple[int, int, int], seed: int, layouts: list[Callable[[Tensor], Tensor]]
) -> None:
    """Each tensor in a layout of its own; test_every_layout.py has all of them in one, and larger images."""
    function, arguments = prepared(name, size, seed)
    each = iter(layouts)
    laid = changed(arguments, lambda x: next(each)(x))
    before = changed(laid, torch.clone)
    result, expected = (torch.as_tensor(function(**chosen)) for chosen in (laid, arguments))
    assert torch.equal(result, expected)
    assert all(torch.equal(laid[key], value) for key, value in before.items() if isinstance(value, Tensor))


@pytest.mark.parametrize("name", NAMES)
@given(size=SIZES, seed=st.integers(0, 999), half=st.sampled_from(HALVES), marks=st.sampled_from(INTEGERS))
@EXAMPLES
def test_half_precision_is_computed_in_float32_and_any_integers_are_marks(
    name: str, size: tuple[int, int, int], seed: int, half: torch.dtype, marks: torch.dtype
) -> None:
    def cast(x: Tensor, floating: torch.dtype, integer: torch.dtype) -> Tensor:
        return x if x.dtype == torch.bool else x.to(floating if x.is_floating_point() else integer)

    function, arguments = prepared(name, size, seed)
    rounded = changed(arguments, lambda x: cast(x, half, marks))
    result = torch.as_tensor(function(**rounded))
    expected = torch.as_tensor(function(**changed(rounded, lambda x: cast(x, torch.float32, torch.int64))))
    assert result.dtype == (marks if name == "resize_marks" else expected.dtype)
    assert torch.equal(result.to(expected.dtype), expected)


# Of all images together, one number a class: of no pixel there is none.
OF_ALL_IMAGES = ("winning_fractions", "class_factors", "class_weights")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*METRICS, *OF_ALL_IMAGES)])
def test_empty_batches(name: str, dtype: torch.dtype) -> None:
    def of(n: int) -> Tensor:
        function, arguments = prepared(name, (n, 5, 6), 0)
        return torch.as_tensor(function(**changed(arguments, lambda x: x.to(dtype) if x.is_floating_point() else x)))

    result, one = of(0), of(1)
    assert result.dtype == one.dtype
    assert result.shape == (0, *one.shape[1:]) if one.ndim else result == 0


@pytest.mark.parametrize("name", [name for name in NAMES if "image" in calls(1, 3, 3)[name][1]])
@given(size=SIZES, seed=st.integers(0, 999))
@EXAMPLES
def test_8_bit_images_are_those_divided_by_255(name: str, size: tuple[int, int, int], seed: int) -> None:
    function, arguments = prepared(name, size, seed)
    image = (arguments["image"] * 255).round().byte()
    expected = function(**{**arguments, "image": image.float() / 255})
    assert torch.equal(function(**{**arguments, "image": image}), expected)


@contextmanager
def references() -> Iterator[None]:
    """Plain PyTorch in place of every kernel."""
    with mock.patch.multiple(_ops, **{name: getattr(_reference, name) for name in _ops.__all__}):
        yield


def with_gradients(function: Callable[..., Any], arguments: dict[str, Any]) -> list[Tensor]:
    """The result, and the gradients of all floating-point arguments."""
    leaves = changed(arguments, lambda x: x.clone().requires_grad_() if x.is_floating_point() else x)
    result = function(**leaves)
    if not result.requires_grad:
        return [result]
    wanted = [x for x in leaves.values() if isinstance(x, Tensor) and x.requires_grad]
    weight = torch.linspace(1, 2, result.numel(), dtype=result.dtype).view(result.shape)
    gradients = torch.autograd.grad((result * weight).sum(), wanted, materialize_grads=True, allow_unused=True)
    return [result.detach(), *gradients]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in METRICS])
@given(size=SIZES, seed=st.integers(0, 999))
@EXAMPLES
def test_kernels_and_their_twins_agree(name: str, size: tuple[int, int, int], seed: int) -> None:
    function, arguments = prepared(name, size, seed)
    arguments = precise(arguments)
    results = with_gradients(function, arguments)
    with references():
        expected = with_gradients(function, arguments)
    torch.testing.assert_close(results, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MIRRORED)
@given(size=SIZES, seed=st.integers(0, 999), dim=st.sampled_from([-1, -2]))
@EXAMPLES
def test_mirror_images(name: str, size: tuple[int, int, int], seed: int, dim: int) -> None:
    function, arguments = prepared(name, size, seed)
    arguments = precise(arguments)
    mirrored = function(**changed(arguments, lambda x: x.flip(dim) if x.ndim >= 3 else x)).flip(dim)
    torch.testing.assert_close(mirrored, function(**arguments), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ONE_BY_ONE)
@given(size=SIZES, seed=st.integers(0, 999))
@EXAMPLES
def test_a_batch_is_its_images(name: str, size: tuple[int, int, int], seed: int) -> None:
    function, arguments = prepared(name, size, seed)
    arguments = precise(arguments)
    result = function(**arguments)
    for n in range(size[0]):
        alone = function(**changed(arguments, lambda x, n=n: x[n : n + 1]))
        torch.testing.assert_close(result[n : n + 1], alone, rtol=1e-6, atol=1e-6)


@given(size=SIZES, seed=st.integers(0, 999), kind=st.sampled_from(["closed_form", "learning_based"]))
@EXAMPLES
def test_the_laplacian_is_symmetric_and_semidefinite_and_each_form_of_it_the_same(
    size: tuple[int, int, int], seed: int, kind: Any
) -> None:
    torch.manual_seed(seed)
    n, h, w = size
    L = MattingLaplacian(torch.rand(n, 3, h, w, dtype=torch.float64), kind=kind, eps=1e-4)
    x = torch.randn(n, C, h, w, dtype=torch.float64)
    for k in range(n):
        matrix = L.to_scipy(k).toarray()
        np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-12)
        assert np.linalg.eigvalsh(matrix).min() > -1e-9
        np.testing.assert_allclose(L.to_sparse_csr(k).to_dense().numpy(), matrix, rtol=0, atol=1e-12)
        np.testing.assert_allclose(L.diagonal()[k].flatten().numpy(), matrix.diagonal(), rtol=0, atol=1e-12)
        product = (matrix @ x[k].flatten(1).numpy().T).T.reshape(C, h, w)
        np.testing.assert_allclose((L @ x)[k].numpy(), product, rtol=0, atol=1e-9)
        form = (x[k].numpy() * product).sum((1, 2))
        np.testing.assert_allclose(L.quadratic_form(x)[k].numpy(), form, rtol=1e-9, atol=1e-9)
    if kind == "closed_form" and min(h, w) >= 3:  # smaller windows have no kernel that subtracts first
        assert not (L @ torch.ones_like(x)).any()


@given(size=SIZES, seed=st.integers(0, 999), cell_size=st.integers(1, 20), num_iters=st.integers(0, 3))
@EXAMPLES
def test_superpixels_keep_sums_and_constants(
    size: tuple[int, int, int], seed: int, cell_size: int, num_iters: int
) -> None:
    torch.manual_seed(seed)
    n, h, w = size
    image, x = torch.rand(n, 3, h, w, dtype=torch.float64), torch.randn(n, C, h, w, dtype=torch.float64)
    q = functional.soft_slic(image, cell_size=cell_size, num_iters=num_iters).assignment
    ones = torch.ones(n, 1, h, w, dtype=torch.float64)
    torch.testing.assert_close(q.sum(1, keepdim=True), ones)
    sums = functional.superpixel_pool(x, Superpixels(q, cell_size), reduction="sum")
    torch.testing.assert_close(sums.sum((2, 3)), x.sum((2, 3)))
    means = functional.superpixel_pool(ones, Superpixels(q, cell_size))
    torch.testing.assert_close(functional.superpixel_unpool(means, Superpixels(q, cell_size)), ones)
    affinity = functional.asam_affinity(Superpixels(q, cell_size))
    torch.testing.assert_close(affinity.sum(1), torch.ones_like(affinity[:, 0]))
    smooth = functional.asam(x, Superpixels(q, cell_size), num_iters=num_iters)
    assert bool((smooth.amax((2, 3)) <= x.amax((2, 3)) + 1e-9).all())


@given(size=SIZES, seed=st.integers(0, 999), name=st.sampled_from(METRICS[-3:]))
@EXAMPLES
def test_names_of_superpixels_do_not_count(size: tuple[int, int, int], seed: int, name: str) -> None:
    function, arguments = prepared(name, size, seed)
    renamed = changed(arguments, lambda x: 1000 - 7 * x)
    assert function(**renamed) == pytest.approx(function(**arguments), abs=1e-12)
