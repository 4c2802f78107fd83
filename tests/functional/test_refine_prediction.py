"""Predictions refined by marks and image."""

from __future__ import annotations

import sys

import pytest
import torch
import torch.nn.functional as F

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import ConvergenceWarning, matting_filter, refine_prediction
from closedform_wsss.training import class_factors, winning_fractions


def problem() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    probs = torch.randn(2, 3, 12, 16, dtype=torch.float64).softmax(1)
    marks = torch.full((2, 24, 32), 255)
    marks[:, 4, 4:28], marks[:, 20, 4:28] = 0, 2
    return probs, torch.rand(2, 3, 24, 32, dtype=torch.float64), marks


def test_it_is_the_filter_of_weighted_probabilities() -> None:
    probs, image, marks = problem()
    factors = torch.tensor([0.2, 1.0, 0.5])
    p = probs * factors[:, None, None]
    q = matting_filter(p / p.sum(1, keepdim=True), image, target=marks, fidelity=0.03, eps=1e-7, tol=0.03).clamp(0, 1)
    found = refine_prediction(probs, image, marks, class_factors=factors)
    torch.testing.assert_close(found, q / q.sum(1, keepdim=True))
    torch.testing.assert_close(found.sum(1), torch.ones(2, 12, 16, dtype=torch.float64))


def test_its_options_are_those_of_the_filter() -> None:
    probs, image, marks = problem()
    options = {"fidelity": 0.1, "mark_weight": 0.2, "tol": 1e-6}
    q = matting_filter(probs, image, target=marks, eps=1e-3, **options).clamp(0, 1)
    recoded = marks.masked_fill(marks == 255, -1)
    found = refine_prediction(probs, image, recoded, eps=1e-3, ignore_index=-1, **options)
    torch.testing.assert_close(found, q / q.sum(1, keepdim=True), rtol=0, atol=1e-9)


def test_constants_pass_and_marks_hold() -> None:
    image, p = torch.rand(1, 3, 24, 32), torch.full((1, 3, 12, 16), 1 / 3)
    q = refine_prediction(p, image, class_factors=torch.tensor([4.0, 1.0, 1.0]))
    torch.testing.assert_close(q[0].mean((1, 2)), torch.tensor([4 / 6, 1 / 6, 1 / 6]), rtol=0, atol=1e-4)
    marks = torch.full((1, 24, 32), 255)
    marks[0, 4:20, 4:28] = 2
    assert (refine_prediction(p, image, marks)[0, 2, 3:9, 3:13] > 0.9).all()


def test_classes_that_are_absent_get_nothing() -> None:
    probs, image, marks = problem()
    present = torch.tensor([[1, 0, 1], [0, 0, 0]]).bool()
    found = refine_prediction(probs, image, marks, class_present=present)
    assert found[0, 1].abs().max() < 1e-6
    p = probs[0] * torch.tensor([1, 0, 1])[:, None, None]
    expected = refine_prediction((p / p.sum(0))[None], image[:1], marks[:1])
    torch.testing.assert_close(found[:1], expected)
    unknown = refine_prediction(probs[1:], image[1:], marks[1:])  # no class is given: all may be there
    torch.testing.assert_close(found[1:], unknown)
    certain = torch.zeros_like(probs)
    certain[:, 1] = 1  # of an absent class: the others are equal
    q = refine_prediction(certain, image, class_present=present)
    torch.testing.assert_close(q[0, 0], q[0, 2])


def test_a_factor_of_zero_is_a_class_that_is_nowhere() -> None:
    """Such as of a class that wins no pixel: its factor is 0 then."""
    torch.manual_seed(0)
    probs = torch.tensor([0.55, 0.35, 0.1])[None, :, None, None].expand(1, 3, 12, 16).contiguous()
    probs[..., :4, :4] = torch.tensor([0.0, 0.0, 1.0])[:, None, None]  # only this class
    image = torch.rand(1, 3, 12, 16)
    q = refine_prediction(probs, image, class_factors=torch.tensor([1.0, 1.0, 0.0]))
    assert bool((q[:, 2] == 0).all()) and bool(((q.sum(1) - 1).abs() < 1e-5).all())
    alone = torch.eye(3)[2][None, :, None, None].expand(1, 3, 12, 16).contiguous()
    q = refine_prediction(alone, image, class_factors=torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(q[:, :2], torch.full((1, 2, 12, 16), 0.5))
    factors = class_factors(probs, winning_fractions(torch.tensor([0.6, 0.4, 0.0])[None, :, None, None]))
    assert factors[2] == 0 and refine_prediction(probs, image, class_factors=factors).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_only_the_ratios_of_the_factors_count(dtype: torch.dtype) -> None:
    probs, image, marks = (v.to(dtype) if v.is_floating_point() else v for v in problem())
    factors, present = torch.tensor([1.0, 1.0, 2.0]), torch.tensor([[1, 0, 1], [0.5, 0.5, 0]])
    for options in ({"tol": 1e-5}, {"tol": 1e-5, "class_present": present}):
        expected = refine_prediction(probs, image, marks, class_factors=factors, **options)
        for size in (1e-13, 1e-25, 1e25):
            found = refine_prediction(probs, image, marks, class_factors=size * factors, **options)
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("scale", [None, 1.0, 0.5])
def test_probabilities_are_normalised_before_they_are_resized(scale: float | None) -> None:
    """In a mean over squares, a pixel whose probabilities are small would count less than its neighbours."""
    torch.manual_seed(0)
    probs = (4 * torch.randn(1, 4, 16, 24, dtype=torch.float64)).softmax(1)
    image, factors = torch.rand(1, 3, 16, 24, dtype=torch.float64), torch.tensor([0.1, 1.0, 3.0, 0.5])
    p = probs * factors[:, None, None]
    expected = refine_prediction(p / p.sum(1, keepdim=True), image, scale=scale, tol=1e-6)
    everything = torch.ones(1, 4).bool()
    for options in ({}, {"class_present": everything}):
        found = refine_prediction(probs, image, class_factors=factors, scale=scale, tol=1e-6, **options)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    found = refine_prediction(probs * torch.rand(1, 1, 16, 24), image, class_factors=factors, scale=scale, tol=1e-6)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_it_adds_up_to_one_where_nothing_does() -> None:
    probs, image, marks = problem()
    for options in ({}, {"num_iters": 20}, {"scale": 0.5}, {"class_factors": torch.ones(3)}):
        q = refine_prediction(torch.zeros_like(probs), image, **options)
        torch.testing.assert_close(q, torch.full_like(q, 1 / 3))
    probs[0], probs[1, :, :, :8] = 0, 0
    q = refine_prediction(probs, image, marks)
    torch.testing.assert_close(q.sum(1), torch.ones(2, 12, 16, dtype=torch.float64))


def test_an_operator_in_place_of_the_image() -> None:
    probs, _, marks = problem()
    small = torch.rand(2, 3, 12, 16, dtype=torch.float64)
    expected = refine_prediction(probs, small, marks, eps=1e-5)
    assert torch.equal(refine_prediction(probs, MattingLaplacian(small, eps=1e-5), marks), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scale_filters_at_part_of_the_image_and_returns_its_size(dtype: torch.dtype) -> None:
    probs, _, _ = problem()
    image = torch.rand(2, 3, 33, 41, dtype=torch.float64)
    marks = torch.full((2, 33, 41), 255)
    marks[:, 6, 4:35] = 2
    small = torch.nn.functional.interpolate(probs, (16, 20), mode="bilinear")  # round half to even
    want = refine_prediction(small / small.sum(1, keepdim=True), image, marks, fidelity=0.3, tol=1e-6)
    want = torch.nn.functional.interpolate(want, (33, 41), mode="bilinear")
    found = refine_prediction(probs.to(dtype), image.to(dtype), marks, scale=0.5, fidelity=0.3, tol=1e-6)
    assert found.dtype == dtype and found.shape == (2, 3, 33, 41)
    torch.testing.assert_close(found.double(), want, rtol=0, atol=1e-5)
    assert refine_prediction(probs[:0], image[:0], scale=0.25).shape == (0, 3, 33, 41)
    tiny = refine_prediction(probs, torch.rand(2, 3, 1, 7, dtype=torch.float64), scale=0.1)
    assert tiny.shape == (2, 3, 1, 7) and bool(torch.isfinite(tiny).all())


def test_scale_is_for_images() -> None:
    probs, image, _ = problem()
    with pytest.raises(ValueError, match="scale must be given with an image, got a MattingLaplacian"):
        refine_prediction(probs, MattingLaplacian(image[..., ::2, ::2]), scale=0.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probs": torch.full((1, 2, 8, 8), 2.0)}, r"probs must be in \[0, 1\], .*: for logits take the softmax over"),
        ({"probs": torch.rand(2, 8, 8)}, r"probs must be \(N, C, H, W\)"),
        # Normalised, the only class would be 1 everywhere.
        ({"probs": torch.rand(1, 1, 8, 8)}, r"probs must have 2 or more channels.*torch.cat\(\[1 - p, p\], 1\)"),
        ({"image": torch.rand(1, 3, 8, 8) * 255}, r"image must be in \[0, 1\]"),
        ({"class_factors": torch.ones(3)}, r"class_factors must be \(C,\) = \(2,\), got shape \(3,\)"),
        ({"class_factors": torch.tensor([1.0, -1.0])}, "class_factors must be >= 0, finite and not all 0"),
        ({"class_factors": torch.zeros(2)}, "class_factors must be >= 0, finite and not all 0"),
        ({"class_factors": [1.0, 1.0]}, "class_factors must be a tensor"),
        ({"scale": 1.5}, r"scale must be in \(0, 1\], got 1.5"),
        ({"scale": 0.0}, "scale must be"),
        ({"num_iters": 0}, "num_iters must be an integer >= 1, got 0"),
        ({"num_iters": 0, "probs": torch.rand(1, 2, 0, 8)}, "num_iters must be an integer >= 1, got 0"),
    ],
)
def test_errors(options: dict, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"refine_prediction: {message}"):
        refine_prediction(**({"probs": torch.full((1, 2, 8, 8), 0.5), "image": torch.rand(1, 3, 8, 8)} | options))


def test_warnings_name_the_function_and_options_that_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, image, _ = problem()
    with pytest.warns(ConvergenceWarning, match="^refine_prediction: 2 steps are far too few for fidelity 0.01"):
        refine_prediction(probs, image, fidelity=0.01, num_iters=2)
    monkeypatch.setattr(sys.modules[refine_prediction.__module__], "MAX_ITER", 1)
    options = {"fidelity": 1e-6, "tol": 1e-6}
    with pytest.warns(ConvergenceWarning, match="^refine_prediction: stopped .*: raise tol, fidelity or eps$"):
        refine_prediction(probs, image, **options)
    laplacian = MattingLaplacian(F.interpolate(image, probs.shape[2:], mode="bilinear", antialias=True))
    with pytest.warns(ConvergenceWarning, match="^refine_prediction: stopped .*: raise tol or fidelity$"):
        refine_prediction(probs, laplacian, **options)
