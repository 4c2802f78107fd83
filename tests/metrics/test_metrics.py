"""Matte errors against naive loops and values worked out by hand."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest
import torch
from helpers.layouts import LAYOUTS

from closedform_wsss.metrics import connectivity_error, gradient_error, mse, sad


def random_mattes(shape: tuple[int, int] = (11, 13)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    # Coarse values, so that plateaus and thresholds are hit exactly.
    alpha = rng.integers(0, 21, shape) / 20
    truth = (alpha + rng.integers(-4, 5, shape) / 20).clip(0, 1)
    return alpha, truth, rng.random(shape) < 0.6


def test_sad_and_mse_against_loops() -> None:
    alpha, truth, unknown = random_mattes()
    differences = [
        alpha[y, x] - truth[y, x] for y in range(alpha.shape[0]) for x in range(alpha.shape[1]) if unknown[y, x]
    ]
    assert sad(alpha, truth, unknown) == pytest.approx(sum(map(abs, differences)))
    assert mse(alpha, truth, unknown) == pytest.approx(sum(d * d for d in differences) / len(differences))


def naive_gradient_size(alpha: np.ndarray) -> np.ndarray:
    """The two-dimensional filters written out as the benchmark's definition has them, one pixel at a time."""
    sigma = 1.4

    def gauss(x: float) -> float:
        return math.exp(-(x**2) / (2 * sigma**2)) / (sigma * math.sqrt(2 * math.pi))

    half = next(x for x in range(1, 20) if gauss(x) <= 0.01)
    offsets = range(-half, half + 1)
    kernel = np.array([[gauss(dy) * -dx * gauss(dx) / sigma**2 for dx in offsets] for dy in offsets])
    kernel /= math.sqrt((kernel**2).sum())
    height, width = alpha.shape
    size = np.zeros(alpha.shape)
    for y in range(height):
        for x in range(width):
            by_x = by_y = 0.0
            for i, dy in enumerate(offsets):
                for j, dx in enumerate(offsets):
                    value = alpha[min(max(y - dy, 0), height - 1), min(max(x - dx, 0), width - 1)]
                    by_x += kernel[i, j] * value
                    by_y += kernel[j, i] * value
            size[y, x] = math.hypot(by_x, by_y)
    return size


@pytest.mark.parametrize("shape", [(11, 13), (1, 9), (9, 1), (1, 1)])
def test_gradient_error_against_loops(shape: tuple[int, int]) -> None:
    alpha, truth, _ = random_mattes(shape)
    unknown = np.ones(shape, bool)
    unknown[: shape[0] // 3] = False
    want = ((naive_gradient_size(alpha) - naive_gradient_size(truth)) ** 2)[unknown].sum()
    assert gradient_error(alpha, truth, unknown) == pytest.approx(want, abs=1e-12)


def naive_connectivity(alpha: np.ndarray, truth: np.ndarray, unknown: np.ndarray) -> float:
    height, width = alpha.shape
    level = np.full(alpha.shape, 1.0)
    dropped = np.zeros(alpha.shape, bool)
    for step in range(1, 11):
        region = (alpha >= step / 10) & (truth >= step / 10)
        best: set[tuple[int, int]] = set()
        seen: set[tuple[int, int]] = set()
        for start in zip(*np.nonzero(region), strict=True):
            if start in seen:
                continue
            part, queue = {start}, deque([start])
            while queue:
                y, x = queue.popleft()
                for a, b in ((y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)):
                    if 0 <= a < height and 0 <= b < width and region[a, b] and (a, b) not in part:
                        part.add((a, b))
                        queue.append((a, b))
            seen |= part
            best = part if len(part) > len(best) else best
        for y in range(height):
            for x in range(width):
                if not dropped[y, x] and (y, x) not in best:
                    dropped[y, x], level[y, x] = True, (step - 1) / 10
    total = 0.0
    for y, x in zip(*np.nonzero(unknown), strict=True):
        phi = [1 - (d if d >= 0.15 else 0) for d in (alpha[y, x] - level[y, x], truth[y, x] - level[y, x])]
        total += abs(phi[0] - phi[1])
    return total


@pytest.mark.parametrize("shape", [(11, 13), (1, 9), (30, 1)])
def test_connectivity_error_against_loops(shape: tuple[int, int]) -> None:
    alpha, truth, _ = random_mattes(shape)
    unknown = np.ones(shape, bool)
    unknown[0, 0] = False
    got, want = connectivity_error(alpha, truth, unknown), naive_connectivity(alpha, truth, unknown)
    assert want > 0
    assert got == pytest.approx(want)


def test_connectivity_by_hand() -> None:
    truth = np.array([[1.0, 1.0, 0.0, 0.0, 0.0]])
    unknown = np.ones_like(truth, dtype=bool)
    # Slightly wrong everywhere: below theta, so no error.
    assert connectivity_error((truth - 0.1).clip(0, 1), truth, unknown) == 0
    # Of two parts of one size the first is the body: it follows the truth to its 0.9, the other is an island.
    assert connectivity_error([[1.0, 0, 1.0]], [[0.9, 0, 0.6]], np.ones((1, 3), bool)) == pytest.approx(0.4)
    # An island of 0.8 beside a body of ones: the whole of it is an error.
    assert connectivity_error([[1.0, 1.0, 0.0, 0.8, 0.0]], truth, unknown) == pytest.approx(0.8)


def test_float32_mattes_reach_their_thresholds() -> None:
    alpha, truth, unknown = random_mattes()
    alpha, truth = alpha.round(1), truth.round(1)
    exact = connectivity_error(alpha, truth, unknown)
    assert connectivity_error(alpha.astype(np.float32), truth.astype(np.float32), unknown) == pytest.approx(exact)
    assert connectivity_error(alpha.astype(np.float32), truth, unknown) == pytest.approx(exact)


@pytest.mark.parametrize("error", [sad, mse, gradient_error, connectivity_error])
def test_equal_mattes_have_no_error_and_wrong_input_is_refused(error) -> None:  # type: ignore[no-untyped-def]
    alpha, _, unknown = random_mattes()
    name = error.__name__
    assert error(alpha, alpha, unknown) == 0
    assert error(torch.from_numpy(alpha), torch.from_numpy(alpha), torch.from_numpy(unknown)) == 0
    assert error(np.zeros((3, 3)), np.zeros((3, 3)), np.ones((3, 3), bool)) == 0
    nan = alpha.copy()
    nan[0, 0] = np.nan
    for bad in (nan, alpha + 0.1, alpha - 0.1):
        with pytest.raises(ValueError, match=f"{name}: preds must be in 0..1"):
            error(bad, alpha, unknown)
        with pytest.raises(ValueError, match=f"{name}: target must be in 0..1"):
            error(alpha, bad, unknown)
    with pytest.raises(TypeError, match=f"{name}: preds must be of a floating type, .* got uint8"):
        error(alpha.astype(np.uint8), alpha, unknown)
    with pytest.raises(TypeError, match=f"{name}: unknown must be bool, got int64: pass unknown == 1"):
        error(alpha, alpha, unknown.astype(np.int64))
    with pytest.raises(ValueError, match=f"{name}: .* got shapes"):
        error(alpha, alpha[1:], unknown)
    with pytest.raises(ValueError, match=f"{name}: unknown must be True"):
        error(alpha, alpha, np.zeros_like(unknown))


MEASURES = [sad, mse, gradient_error, connectivity_error]


@pytest.mark.parametrize("error", MEASURES)
def test_tensors_and_layouts_give_the_same(error) -> None:  # type: ignore[no-untyped-def]
    alpha, truth, unknown = random_mattes()
    want = error(alpha, truth, unknown)
    a, t, u = map(torch.from_numpy, (alpha, truth, unknown))
    assert error(a.clone().requires_grad_(), t, u) == want
    for layout in LAYOUTS:
        assert error(layout(a), layout(t), layout(u)) == want
    assert error(np.asfortranarray(alpha), truth[::-1][::-1], unknown.T.copy().T) == want
    # A type that NumPy has not: as in float32 of the same values.
    assert error(a.bfloat16(), t.bfloat16(), u) == error(a.bfloat16().float(), t.bfloat16().float(), u)
    assert error(alpha.astype(">f4"), truth.astype(">f4"), unknown) == error(a.float(), t.float(), u)
    # Values that lie on no threshold, since float16 rounds them.
    a, t = np.random.default_rng(1).random((2, *alpha.shape))
    want = error(a, t, unknown)
    assert error(a.astype(np.float16), t.astype(np.float16), unknown) == pytest.approx(want, rel=0.01)


@pytest.mark.parametrize("error", MEASURES)
@pytest.mark.parametrize(
    ("bad", "cure"),
    [
        (lambda a: (a * 255).astype(np.uint8), "uint8 up to 255: pass preds / 255"),
        (lambda a: (a * 65535).astype(np.uint16), "uint16 up to 65535: pass preds / 65535"),
        (lambda a: a > 0.5, r"bool: pass preds as floating, preds \* 1.0"),
        (lambda a: a * 255, "got 0.0 to 255.0: pass preds / 255, or clip it"),
        (lambda a: a * 65535, "got 0.0 to 65535.0: pass preds / 65535, or clip it"),
        (lambda a: a * 1.5, "got 0.0 to 1.5; clip it first"),
        (lambda a: np.where(a > 0.9, np.nan, a), "got nan to nan: .* values are NaN"),
        (lambda a: torch.from_numpy(a * 255).to(torch.uint8), "uint8 up to 255: pass preds / 255"),
    ],
)
def test_mattes_in_other_ranges_are_refused_with_the_cure(error, bad, cure) -> None:  # type: ignore[no-untyped-def]
    alpha, truth, unknown = random_mattes()
    assert alpha.min() == 0 and alpha.max() == 1
    with pytest.raises((TypeError, ValueError), match=f"{error.__name__}: preds must be .*{cure}"):
        error(bad(alpha), truth, unknown)
    with pytest.raises(
        (TypeError, ValueError), match=f"{error.__name__}: target must be .*{cure}".replace(" preds", " target")
    ):
        error(alpha, bad(alpha), unknown)


@pytest.mark.parametrize("error", MEASURES)
def test_trimaps_in_place_of_masks_are_refused_with_the_cure(error) -> None:  # type: ignore[no-untyped-def]
    alpha, truth, unknown = random_mattes()
    want = error(alpha, truth, unknown)
    background = np.zeros_like(unknown)
    background[0] = True
    for low, middle, high, cure in (
        (0, 128, 255, "(trimap > 0) & (trimap < 255)"),
        (0.0, 0.5, 1.0, "(trimap > 0.0) & (trimap < 1.0)"),
        (0, 1, 2, "(trimap > 0) & (trimap < 2)"),
        (0, 255, 1, "unknown == 255"),
        (0, 255, 0, "unknown == 255"),
        (0, 1, 0, "unknown == 1"),
    ):
        trimap = np.where(unknown, middle, np.where(background, low, high))
        with pytest.raises(TypeError, match=f"{error.__name__}: unknown must be bool") as refused:
            error(alpha, truth, trimap)
        assert str(refused.value).split(", if")[0].endswith(cure)
        assert error(alpha, truth, eval(cure, {"trimap": trimap, "unknown": trimap})) == want
