"""``to_unit_range``: any values to [0, 1], by a window or by percentiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from closedform_wsss.io import to_unit_range

NUMPY = ["bool", "uint8", "int8", "uint16", "int16", "<i4", ">i4", ">u2", "int64", "uint64", "f2", "f4", ">f4", "f8"]


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize("shape", [(4,), (2, 2), (1, 1, 4), (1, 4, 1, 1)])
def test_arrays_of_any_type_and_shape(dtype: str, shape: tuple[int, ...]) -> None:
    x = np.array([0, 1, 2, 100]).clip(0, 1 if dtype == "bool" else None).astype(dtype).reshape(shape)
    for options, low, high in (({"window": (0, 50)}, 0, 50), ({"percentiles": (0, 100)}, 0, float(x.max()))):
        found = to_unit_range(x, **options)
        assert found.shape == shape and found.dtype == (np.float64 if dtype == "f8" else np.float32)
        want = ((x.astype(float) - low) / (high - low)).clip(0, 1)
        np.testing.assert_allclose(found, want, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.int64, torch.half, torch.bfloat16])
def test_tensors(dtype: torch.dtype) -> None:
    x = torch.tensor([[0, 1], [1, 0]]).to(dtype)
    found = to_unit_range(x, window=(-1, 1))
    assert found.dtype == torch.float32 and found.tolist() == [[0.5, 1.0], [1.0, 0.5]]
    assert to_unit_range(x.double(), window=(-1, 1)).dtype == torch.float64


def test_hounsfield_units() -> None:
    x = torch.tensor([-1000.0, -160.0, 40.0, 240.0, 3000.0])
    assert to_unit_range(x, window=(-160, 240)).tolist() == [0, 0, 0.5, 1, 1]
    assert to_unit_range(x.to(torch.int16), window=(-160, 240)).tolist() == [0, 0, 0.5, 1, 1]


def test_percentiles_are_of_all_values_of_the_call() -> None:
    x = np.random.default_rng(0).normal(5, 3, (2, 1, 40, 50))
    low, high = np.percentile(x, (2, 98))
    found = to_unit_range(x, percentiles=(2, 98))
    np.testing.assert_allclose(found, ((x - low) / (high - low)).clip(0, 1), atol=1e-12)
    assert 0.01 < (found == 0).mean() < 0.03 and 0.01 < (found == 1).mean() < 0.03
    np.testing.assert_allclose(to_unit_range(torch.from_numpy(x), percentiles=(2, 98)), found, atol=1e-12)
    assert not np.allclose(to_unit_range(x[:1], percentiles=(2, 98)), found[:1])
    large = torch.arange(2**24 + 2, dtype=torch.int32)  # more than torch.quantile takes
    assert to_unit_range(large, percentiles=(25, 75))[2**23].item() == pytest.approx(0.5, abs=1e-6)


def test_flat_data_and_single_outliers() -> None:
    for x in (np.full((3, 4), 7.0), np.zeros(5, np.uint8), torch.full((2,), -3)):
        assert not np.asarray(to_unit_range(x, percentiles=(1, 99))).any()
    x = np.zeros(1000)
    x[3], x[4] = 5, -5
    found = to_unit_range(x, percentiles=(1, 99))
    assert found[3] == 1 and found.sum() == 1


def test_large_numbers_keep_their_differences() -> None:
    x = np.array([2**31, 2**31 + 5, 2**31 + 10])
    assert to_unit_range(x, percentiles=(0, 100)).tolist() == [0, 0.5, 1]
    assert to_unit_range(torch.from_numpy(x), window=(2**31, 2**31 + 10)).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize("kind", [np.array, torch.tensor, list, iter])
def test_an_interval_of_any_sequence(kind: Any) -> None:
    """Such as ``np.percentile`` returns it."""
    x = np.arange(5.0)
    assert to_unit_range(x, window=kind([0, 2])).tolist() == [0, 0.5, 1, 1, 1]
    assert to_unit_range(x, percentiles=kind([0, 50])).tolist() == [0, 0.5, 1, 1, 1]


def test_infinite_values_are_cut_off_by_a_window() -> None:
    x = np.array([-np.inf, 0.5, np.inf])
    assert to_unit_range(x, window=(0, 1)).tolist() == [0, 0.5, 1]
    with pytest.raises(ValueError, match=r"percentiles must be those of finite values, .*: pass a window"):
        to_unit_range(x, percentiles=(0, 100))


@pytest.mark.parametrize(
    ("x", "options", "kind", "message"),
    [
        ([1.0], {"window": (0, 1)}, TypeError, "x must be a tensor or an array, got list"),
        (np.array([1j]), {"window": (0, 1)}, TypeError, "x must be real numbers, got complex128"),
        (torch.tensor([1j]), {"window": (0, 1)}, TypeError, "x must be real numbers, got torch.complex64"),
        (np.array(["a"]), {"window": (0, 1)}, TypeError, "x must be real numbers, got <U1"),
        (np.zeros(3), {}, ValueError, "one of window and percentiles must be given, got None and None"),
        (np.zeros(3), {"window": (0, 1), "percentiles": (0, 1)}, ValueError, "one of window and percentiles must"),
        (np.array([np.nan, 1]), {"window": (0, 1)}, ValueError, ".*got NaN values: replace them"),
        (torch.tensor([torch.nan]), {"percentiles": (0, 100)}, ValueError, ".*got NaN values"),
        (np.zeros((0, 3)), {"percentiles": (0, 100)}, ValueError, r"x must hold values .* got shape \(0, 3\)"),
        (
            np.zeros(3),
            {"window": (1, 1)},
            ValueError,
            r"window must be \(low, high\), finite, low below high, got \(1, 1\)",
        ),
        (np.zeros(3), {"window": (0, np.inf)}, ValueError, "window must be"),
        (np.zeros(3), {"window": 5}, ValueError, "window must be"),
        (np.zeros(3), {"window": ()}, ValueError, "window must be"),
        (np.zeros(3), {"percentiles": (-1, 50)}, ValueError, "percentiles must be .* in 0 to 100"),
        (np.zeros(3), {"percentiles": (1, 101)}, ValueError, "percentiles must be .* in 0 to 100"),
    ],
)
def test_errors(x: Any, options: dict[str, Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"to_unit_range: {message}"):
        to_unit_range(x, **options)


def test_no_values_with_a_window() -> None:
    assert to_unit_range(np.zeros((0, 3), np.int16), window=(0, 1)).shape == (0, 3)
