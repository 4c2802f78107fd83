"""Pseudo-labels against a loop over pixels."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from closedform_wsss.functional import background_score, pseudo_labels


def naive(
    cam: Tensor,
    *,
    threshold: float | None = None,
    power: float | None = None,
    margin: float = 0.0,
    class_present: Tensor | None = None,
    classes: list[int] | None = None,
    ignore_index: int = 255,
) -> Tensor:
    """Pixel by pixel, in Python's own floating point."""
    n, channels, h, w = cam.shape
    labels = torch.empty(n, h, w, dtype=torch.int64)
    for i, y, x in itertools.product(range(n), range(h), range(w)):
        scores = [
            (cam[i, c, y, x].item(), c + 1 if classes is None else classes[c])
            for c in range(channels)
            if class_present is None or class_present[i, c]
        ]
        largest = max((score for score, _ in scores), default=0.0)
        background = threshold if threshold is not None else (1 - largest) ** power
        ranked = sorted([(background, 0), *scores], key=lambda pair: -pair[0])  # stable: the first of equal ones
        doubtful = margin > 0 and len(ranked) > 1 and ranked[0][0] - ranked[1][0] < margin
        labels[i, y, x] = ignore_index if doubtful else ranked[0][1]
    return labels


@pytest.mark.parametrize("rule", [{"threshold": 0.3}, {"power": 3.0}, {"threshold": 0.0}, {"threshold": 1.0}])
@pytest.mark.parametrize("margin", [0.0, 0.15, 1.0])
@pytest.mark.parametrize("shape", [(2, 4, 5, 7), (1, 1, 1, 9), (3, 2, 6, 1)])
@pytest.mark.parametrize("tags", [False, True])
def test_matches_the_loop(rule: dict[str, float], margin: float, shape: tuple[int, ...], tags: bool) -> None:
    cam = torch.rand(shape, dtype=torch.float64) ** 2
    options: dict[str, Any] = {"margin": margin, "classes": [7, 1, 20, 3][: shape[1]], "ignore_index": 99}
    if tags:
        options["class_present"] = torch.rand(shape[:2]) < 0.5
    got = pseudo_labels(cam, **rule, **options)
    assert got.dtype == torch.int64
    assert torch.equal(got, naive(cam, **rule, **options))


def test_ties_go_to_the_background_and_then_to_the_first_class() -> None:
    cam = torch.tensor([[0.25, 0.5, 0.5, 0.0], [0.25, 0.5, 0.25, 0.0]]).reshape(1, 2, 1, 4)
    assert pseudo_labels(cam, threshold=0.25).flatten().tolist() == [0, 1, 1, 0]
    # (1 - 0.5) ** 1 = 0.5: the background and both classes are equal.
    assert pseudo_labels(cam, power=1.0).flatten().tolist() == [0, 0, 0, 0]
    # A tie is as doubtful as can be; at exactly the margin a pixel is not doubtful.
    assert pseudo_labels(cam, threshold=0.25, margin=0.25).flatten().tolist() == [255, 255, 1, 0]


@pytest.mark.parametrize("rule", [{"threshold": 0.0}, {"threshold": 0.3}, {"power": 4.0}])
def test_nothing_active_is_background(rule: dict[str, float]) -> None:
    assert not pseudo_labels(torch.zeros(1, 3, 4, 5), **rule).any()
    assert not pseudo_labels(torch.rand(1, 0, 4, 5), margin=0.5, **rule).any()
    absent = torch.zeros(1, 3, dtype=torch.bool)
    assert not pseudo_labels(torch.ones(1, 3, 4, 5), class_present=absent, margin=0.5, **rule).any()


def test_power_gives_the_labels_of_its_threshold() -> None:
    """As the documentation says: t = (1 - t) ** power."""
    cam = torch.rand(1, 3, 40, 40, dtype=torch.float64)
    for power, rounded in ((2.0, 0.38), (4.0, 0.28), (32.0, 0.08)):
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if middle < (1 - middle) ** power else (low, middle)
        assert round(low, 2) == rounded
        assert torch.equal(pseudo_labels(cam, power=power), pseudo_labels(cam, threshold=low))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype, device: str) -> None:
    cam = torch.rand(2, 3, 8, 9).to(dtype)
    for rule in ({"threshold": 0.3}, {"power": 3.0}):
        want = pseudo_labels(cam.float(), margin=0.1, **rule)
        assert torch.equal(pseudo_labels(cam.to(device), margin=0.1, **rule).cpu(), want)
        with torch.autocast(device, torch.bfloat16):
            assert torch.equal(pseudo_labels(cam.to(device), margin=0.1, **rule).cpu(), want)
    assert background_score(cam, power=2).dtype == torch.float32


def test_empty_batches() -> None:
    for shape in ((0, 3, 4, 5), (0, 0, 4, 5), (2, 3, 0, 5)):
        assert pseudo_labels(torch.rand(shape), threshold=0.3, margin=0.1).shape == (shape[0], *shape[2:])
        assert background_score(torch.rand(shape), power=2).shape == (shape[0], 1, *shape[2:])


def test_rounding_beyond_the_range_is_harmless() -> None:
    cam = torch.tensor([-0.01, 1.01]).reshape(1, 1, 1, 2)
    assert background_score(cam, power=0.5).flatten().tolist() == [1.0, 0.0]
    assert pseudo_labels(cam, power=0.5).flatten().tolist() == [0, 1]


def test_background_score_is_the_formula_and_differentiable() -> None:
    cam = torch.rand(2, 3, 4, 5, dtype=torch.float64)
    want = torch.stack([1 - torch.stack([m[c] for c in range(3)]).max(0).values for m in cam])[:, None] ** 3
    torch.testing.assert_close(background_score(cam, power=3), want)
    assert torch.equal(background_score(cam[:, :0], power=3), torch.ones(2, 1, 4, 5, dtype=torch.float64))
    assert torch.autograd.gradcheck(lambda x: background_score(x, power=3), cam.requires_grad_())


@pytest.mark.parametrize("power", [0.3, 1.0, 4.0])
def test_background_score_has_finite_gradients_at_the_maximum_of_a_cam(power: float) -> None:
    """Which is 1 in every map that was divided by its maximum: a power below 1 is infinitely steep there."""
    cam = torch.tensor([0.0, 0.5, 1.0]).reshape(1, 1, 1, 3).requires_grad_()
    background_score(cam, power=power).sum().backward()
    assert cam.grad.isfinite().all() and cam.grad[..., 1] == pytest.approx(-power * 0.5 ** (power - 1))


@pytest.mark.parametrize("dtype", [torch.int16, torch.uint16, torch.uint32, torch.uint64])
def test_labels_follow_tensors_of_classes_and_carry_no_gradient(dtype: torch.dtype) -> None:
    cam = torch.rand(1, 2, 3, 4, requires_grad=True)
    labels = pseudo_labels(cam, threshold=0.5, classes=torch.tensor([300, 4], dtype=dtype), ignore_index=-1)
    assert set(labels.unique().tolist()) <= {0, 4, 300} and not labels.requires_grad


def test_errors() -> None:
    cam = torch.rand(2, 3, 4, 5)
    cases: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({}, ValueError, "one of threshold and power must be given, got None and None"),
        ({"threshold": 0.3, "power": 2.0}, ValueError, "one of threshold and power must be given, got 0.3 and 2.0"),
        ({"threshold": 1.5}, ValueError, r"threshold must be a number in \[0, 1\], got 1.5"),
        ({"threshold": float("nan")}, ValueError, r"threshold must be a number in \[0, 1\], got nan"),
        ({"threshold": "0.3"}, TypeError, r"threshold must be a number in \[0, 1\], got str"),
        ({"power": 0}, ValueError, "power must be a finite number > 0, got 0"),
        ({"threshold": 0.3, "margin": -0.1}, ValueError, r"margin must be a number in \[0, 1\], got -0.1"),
        ({"threshold": 0.3, "class_present": torch.ones(2, 3)}, TypeError, "class_present must be bool"),
        ({"threshold": 0.3, "class_present": torch.ones(3) > 0}, ValueError, r"class_present must be \(N, C\)"),
        ({"threshold": 0.3, "class_present": [True]}, TypeError, "class_present must be a tensor, got list"),
        ({"threshold": 0.3, "classes": [1, 2]}, ValueError, r"classes must be \(C,\) = \(3,\)"),
        ({"threshold": 0.3, "classes": [1.0, 2.0, 3.0]}, TypeError, "classes must be integers"),
        ({"threshold": 0.3, "classes": [0, 1, 2]}, ValueError, r"classes must be >= 1 .*got \[0, 1, 2\]"),
        ({"threshold": 0.3, "classes": [1, 2, 255]}, ValueError, "classes must be >= 1 and not ignore_index 255"),
        ({"threshold": 0.3, "ignore_index": 2}, ValueError, "classes must be >= 1 and not ignore_index 2"),
        ({"threshold": 0.3, "ignore_index": 0}, ValueError, "ignore_index must not be 0"),
    ]
    for options, kind, message in cases:
        with pytest.raises(kind, match=f"pseudo_labels: {message}"):
            pseudo_labels(cam, **options)
    nan = cam.clone()
    nan[1, 2, 3, 4] = torch.nan
    bad: list[tuple[Any, type[Exception], str]] = [
        (cam.numpy(), TypeError, "cam must be a tensor"),
        (cam[0], ValueError, r"cam must be \(N, C, H, W\)"),
        (cam.int(), TypeError, "cam must be floating point"),
        (nan, ValueError, r"cam must be in \[0, 1\], got NaN"),
        (17 * torch.ones(1, 1, 2, 2), ValueError, r"got values in \[17, 17\]: for raw activations relu"),
        (cam - 1, ValueError, r"cam must be in \[0, 1\], got values"),
    ]
    for value, kind, message in bad:
        with pytest.raises(kind, match=f"pseudo_labels: .*{message}"):
            pseudo_labels(value, threshold=0.3)
        with pytest.raises(kind, match=f"background_score: .*{message}"):
            background_score(value, power=2)
