"""The confusion matrix with labels of any type, in any layout, and of several processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers import two_processes
from helpers.layouts import LAYOUTS

from closedform_wsss.metrics import ConfusionMatrix

NARROW = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64]


@pytest.mark.parametrize("dtype", NARROW)
def test_narrow_labels_are_compared_in_int64(dtype: torch.dtype) -> None:
    preds, target = torch.tensor([[[0, 1, 1, 0]]]), torch.tensor([[[0, 1, 2, 2]]])
    matrix = ConfusionMatrix(3)
    matrix.update(preds.to(dtype), target.to(dtype))
    assert matrix.matrix.tolist() == [[1, 0, 0], [0, 1, 0], [1, 1, 0]]
    # What the type cannot hold is another value: an error, and not ignored.
    for ignored, stored in ((-1, 255), (255, -1), (-1, -1), (255, 255)):
        target[..., 0] = stored
        narrow = target.to(dtype)
        matrix = ConfusionMatrix(3, ignore_index=ignored)
        # uint64 says no number; all others go through int64.
        same = (255 if stored == 255 else None) if dtype == torch.uint64 else int(narrow[0, 0, 0].long())
        if same == ignored:
            matrix.update(preds, narrow)
            assert matrix.matrix.sum() == 3 and matrix._counts[-2] == 1
        else:
            with pytest.raises(ValueError, match=r"got 1 counted pixels where they are not .* in target"):
                matrix.update(preds, narrow)


def test_bool_labels() -> None:
    preds, target = torch.tensor([[[True, False, True]]]), torch.tensor([[[True, True, False]]])
    for ours, truth in ((preds, target), (preds.long(), target), (preds, target.long())):
        matrix = ConfusionMatrix(2)
        matrix.update(ours, truth)
        assert matrix.matrix.tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_any_memory_layout(layout) -> None:  # type: ignore[no-untyped-def]
    scores, target = torch.randn(2, 3, 5, 7), torch.randint(0, 3, (2, 5, 7))
    target[torch.rand(target.shape) < 0.2] = 255
    plain, other, labels = ConfusionMatrix(3), ConfusionMatrix(3), ConfusionMatrix(3)
    plain.update(scores, target)
    other.update(layout(scores), layout(target))
    labels.update(layout(scores.argmax(1)), layout(target))
    assert plain._counts.tolist() == other._counts.tolist() == labels._counts.tolist()
    one = torch.tensor([0, 1, 2]).view(1, 3, 1)
    plain.reset()
    plain.update(one.expand(2, 3, 4), one.expand(2, 3, 4))
    assert plain.matrix.tolist() == [[8, 0, 0], [0, 8, 0], [0, 0, 8]]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_any_default_dtype(dtype: torch.dtype) -> None:
    # 3001 of 9001: float16 and bfloat16 hold neither count.
    preds = torch.zeros(1, 1, 9001, dtype=torch.long)
    target = torch.zeros_like(preds)
    target[..., :3001] = 1
    target[..., -1] = 255
    torch.set_default_dtype(dtype)
    try:
        matrix = ConfusionMatrix(2)
        matrix.update(preds, target)
        scores = matrix.compute()
    finally:
        torch.set_default_dtype(torch.float32)
    assert scores.iou.tolist() == [5999 / 9000, 0] and scores.iou.dtype == torch.float64
    assert (scores.mean_iou, scores.pixel_accuracy) == (5999 / 18000, 5999 / 9000)
    assert (scores.mean_accuracy, scores.ignored) == (0.5, 1 / 9001)


def test_a_number_of_classes_from_numpy_and_another_default_device() -> None:
    torch.set_default_device("meta")
    try:
        matrix = ConfusionMatrix(np.int64(3), np.uint8(2))
    finally:
        torch.set_default_device(None)
    matrix.update(torch.tensor([[[0, 1]]]), torch.tensor([[[0, 2]]]))
    assert matrix.matrix.tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert matrix.num_classes == 3 and type(matrix.num_classes) is int


def test_float8_scores() -> None:
    scores, target = torch.randn(1, 3, 6, 6).to(torch.float8_e4m3fn), torch.randint(0, 3, (1, 6, 6))
    narrow, wide = ConfusionMatrix(3), ConfusionMatrix(3)
    narrow.update(scores, target)
    wide.update(scores.float(), target)
    assert narrow.matrix.tolist() == wide.matrix.tolist() and wide.matrix.sum() == 36


# --- several processes


def test_two_processes_sum_all_counts(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.multiprocessing.spawn(two_processes.count, (str(tmp_path),), nprocs=2)
    for rank in range(2):
        found = torch.load(tmp_path / f"counts{rank}.pt")
        # Each rank had one batch of 3 counted pixels and one or two ignored ones, the second one invalid pixel too.
        assert found["matrix"] == [[2, 1], [0, 3]] and found["ignored"] == 3 / 9
        assert found["empty"] == 3 and "got 1 counted pixels" in found["invalid"]
        assert "all processes must have num_classes=" in found["other"]


def test_all_reduce_of_one_process_changes_nothing() -> None:
    with torch.inference_mode():
        matrix = ConfusionMatrix(2)
        matrix.update(torch.tensor([[[0, 1]]]), torch.tensor([[[0, 255]]]))
    assert matrix.all_reduce() is matrix
    assert matrix._counts.tolist() == [1, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, ">i4", bool])
def test_arrays_count_like_tensors(dtype: Any) -> None:
    preds, target = np.random.default_rng(0).integers(0, 2, (2, 3, 6, 5))
    want = ConfusionMatrix(2)
    want.update(torch.from_numpy(preds), torch.from_numpy(target))
    for change in (np.asarray, np.asfortranarray, lambda x: x[:, ::-1].copy()[:, ::-1], read_only):
        matrix = ConfusionMatrix(2)
        matrix.update(change(preds.astype(dtype)), change(target.astype(dtype)))
        assert torch.equal(matrix.matrix, want.matrix)
    scores = np.stack([1 - preds, preds], axis=1).astype(np.float32)
    matrix = ConfusionMatrix(2)
    matrix.update(scores, target)
    assert torch.equal(matrix.matrix, want.matrix)


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
