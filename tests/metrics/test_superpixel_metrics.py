"""Measures of superpixels against naive loops and values worked out by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from helpers.layouts import LAYOUTS
from hypothesis import given, settings
from hypothesis import strategies as st

from closedform_wsss.functional import slic, soft_slic
from closedform_wsss.metrics import achievable_segmentation_accuracy, boundary_recall, undersegmentation_error

MEASURES = [boundary_recall, undersegmentation_error, achievable_segmentation_accuracy]


def blobs(rng: np.random.Generator, height: int, width: int, count: int) -> np.ndarray:
    """Voronoi cells of random points, with names that have gaps."""
    points = rng.random((count, 2)) * (height, width)
    pixel = np.stack(np.mgrid[:height, :width], -1)
    nearest = np.square(pixel[:, :, None] - points).sum(-1).argmin(-1)
    return rng.permutation(10 * count)[:count][nearest]


def is_boundary(labels: np.ndarray, y: int, x: int) -> bool:
    height, width = labels.shape
    around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
    return any(labels[v, u] != labels[y, x] for v, u in around if 0 <= v < height and 0 <= u < width)


def naive_recall(labels: np.ndarray, truth: np.ndarray, tolerance: int) -> float:
    height, width = labels.shape
    hits = total = 0
    for y in range(height):
        for x in range(width):
            if truth[y, x] if truth.dtype == bool else is_boundary(truth, y, x):
                total += 1
                rows = range(max(0, y - tolerance), min(height, y + tolerance + 1))
                columns = range(max(0, x - tolerance), min(width, x + tolerance + 1))
                hits += any(is_boundary(labels, v, u) for v in rows for u in columns)
    return hits / total if total else 1.0


def pixel_sets(labels: np.ndarray) -> list[set[tuple[int, int]]]:
    return [set(zip(*np.nonzero(labels == name), strict=True)) for name in set(labels.ravel().tolist())]


def naive_error(labels: np.ndarray, segments: np.ndarray) -> float:
    leak = 0
    for g in pixel_sets(segments):
        for s in pixel_sets(labels):
            if s & g:
                leak += min(len(s & g), len(s - g))
    return leak / labels.size


def naive_accuracy(labels: np.ndarray, segments: np.ndarray) -> float:
    return sum(max(len(s & g) for g in pixel_sets(segments)) for s in pixel_sets(labels)) / labels.size


sizes = st.integers(1, 14)
ONE_REGION = pytest.mark.filterwarnings("ignore:.* one region only")


@ONE_REGION
@settings(max_examples=40, deadline=None)
@given(height=sizes, width=sizes, count=st.integers(1, 12), tolerance=st.integers(0, 3), seed=st.integers(0, 999))
def test_against_naive_loops(height: int, width: int, count: int, tolerance: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, segments = blobs(rng, height, width, count), blobs(rng, height, width, 3)
    drawn = rng.random((height, width)) < 0.2
    assert boundary_recall(labels, segments, tolerance=tolerance) == naive_recall(labels, segments, tolerance)
    assert boundary_recall(labels, drawn, tolerance=tolerance) == naive_recall(labels, drawn, tolerance)
    assert undersegmentation_error(labels, segments) == pytest.approx(naive_error(labels, segments))
    assert achievable_segmentation_accuracy(labels, segments) == pytest.approx(naive_accuracy(labels, segments))


@ONE_REGION
def test_several_annotators_give_the_mean() -> None:
    rng = np.random.default_rng(0)
    labels, segments = blobs(rng, 20, 30, 9), np.stack([blobs(rng, 20, 30, k) for k in (1, 2, 5)])
    for measure in MEASURES:
        single = [measure(labels, annotator) for annotator in segments]
        assert measure(labels, segments) == pytest.approx(np.mean(single))
        assert len(set(single)) == 3


def test_a_refinement_of_the_truth_is_perfect_and_one_superpixel_is_not() -> None:
    rng = np.random.default_rng(1)
    segments, other = blobs(rng, 24, 24, 4), blobs(rng, 24, 24, 9)
    finer = segments * 1000 + other
    assert [measure(finer, segments) for measure in MEASURES] == [1, 0, 1]
    whole = np.zeros_like(segments)
    largest = max(len(s) for s in pixel_sets(segments)) / segments.size
    assert boundary_recall(whole, segments) == 0
    assert achievable_segmentation_accuracy(whole, segments) == pytest.approx(largest)


def test_recall_is_one_where_nothing_was_drawn() -> None:
    labels = np.arange(12).reshape(3, 4)
    for nothing in (np.zeros((3, 4), bool), np.zeros((3, 4), int), np.zeros((2, 3, 4), bool)):
        with pytest.warns(UserWarning, match="boundary_recall: target has one region only, so the result is 1"):
            assert boundary_recall(labels, nothing) == 1


def test_segments_that_no_superpixels_can_miss_are_warned_of() -> None:
    labels = np.arange(12).reshape(3, 4)
    two = np.stack([np.full((3, 4), 7), labels // 6])
    for measure in MEASURES:
        value = int(measure is not undersegmentation_error)
        for segments in (np.full((3, 4), 7), np.stack([np.zeros((3, 4), int), np.ones((3, 4), int)])):
            with pytest.warns(UserWarning, match=f"{measure.__name__}: .* the result is {value} whatever") as caught:
                assert measure(labels, segments) == value
            assert [warning.filename for warning in caught] == [__file__]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            measure(labels, two)


def test_narrow_types_and_layouts() -> None:
    rng = np.random.default_rng(3)
    labels, segments = blobs(rng, 15, 17, 11), blobs(rng, 15, 17, 4)
    for measure in MEASURES:
        want = measure(labels, segments)
        for dtype in (np.uint8, np.int8, np.uint64, ">i4"):  # names up to 110 fit into all of them
            # Types of two lengths, so that none is compared in the other's.
            assert measure(labels.astype(dtype), segments.astype(np.int16)) == want
            assert measure(labels.astype(np.int64), segments.astype(dtype)) == want
        for layout in LAYOUTS:
            assert measure(layout(torch.from_numpy(labels)), layout(torch.from_numpy(segments))) == want
        assert measure(np.asfortranarray(labels), segments.T.copy().T) == want


def test_every_pixel_its_own_superpixel_in_a_large_image() -> None:
    labels = np.arange(600 * 800).reshape(600, 800)
    segments = labels[::-1]
    assert undersegmentation_error(labels, segments) == 0
    assert achievable_segmentation_accuracy(labels, segments) == 1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_tensors_of_any_integer_type(dtype: torch.dtype, device: str) -> None:
    rng = np.random.default_rng(2)
    labels, segments = blobs(rng, 12, 10, 6), blobs(rng, 12, 10, 3)
    for measure in MEASURES:
        given_tensors = measure(
            torch.from_numpy(labels).to(device, dtype), torch.from_numpy(segments).to(device, dtype)
        )
        assert given_tensors == measure(labels, segments)
        assert isinstance(given_tensors, float)


@pytest.mark.parametrize("measure", MEASURES)
def test_errors_name_function_and_argument(measure) -> None:
    labels, name = np.zeros((4, 5), int), measure.__name__
    with pytest.raises(TypeError, match=f"{name}: preds must be of an integer type, got float64"):
        measure(labels.astype(float), labels)
    with pytest.raises(TypeError, match=f"{name}: preds must be of an integer type, got bool"):
        measure(labels > 0, labels)
    with pytest.raises(TypeError, match=f"{name}: target must be of an integer type"):
        measure(labels, labels.astype(float))
    with pytest.raises(ValueError, match=rf"{name}: preds must be \(H, W\), got shape \(1, 4, 5\): preds\[0\]"):
        measure(labels[None], labels)
    with pytest.raises(ValueError, match=rf"{name}: target must be \(4, 5\).*got shape \(5, 4\)"):
        measure(labels, labels.T)
    with pytest.raises(ValueError, match=rf"{name}: target must be .*got shape \(0, 4, 5\)"):
        measure(labels, np.zeros((0, 4, 5), int))


def test_only_the_recall_takes_boundary_maps() -> None:
    labels = np.zeros((4, 5), int)
    for measure in (undersegmentation_error, achievable_segmentation_accuracy):
        with pytest.raises(TypeError, match="target must be of an integer type, got bool"):
            measure(labels, labels > 0)


@pytest.mark.parametrize("tolerance", [-1, 1.5, True])
def test_tolerance_is_checked(tolerance) -> None:
    labels = np.arange(36).reshape(6, 6) // 5
    assert boundary_recall(labels, labels, tolerance=np.int64(1)) == boundary_recall(labels, labels, tolerance=1)
    with pytest.raises((TypeError, ValueError), match="boundary_recall: tolerance must be an integer >= 0"):
        boundary_recall([[0, 1]], [[0, 1]], tolerance=tolerance)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("make", [slic, soft_slic])
def test_superpixels_of_a_batch_are_refused_with_a_cure_that_works(measure, make):
    """NumPy would complain of a sequence of unequal parts."""
    preds, target = make(torch.rand(1, 3, 16, 20), cell_size=4), torch.arange(20).expand(16, 20) // 7
    with pytest.raises(TypeError, match=rf"{measure.__name__}: preds must be .* integers, got .*: pass ") as error:
        measure(preds, target)
    labels = eval(str(error.value).partition(": pass ")[2], {"preds": preds})
    assert labels.shape == (16, 20) and 0 <= measure(labels, target) < 2
