"""Confusion matrix and matte errors, against naive loops and values worked out by hand."""

from __future__ import annotations

import math
from collections import deque

import numpy as np
import pytest
import torch

from closedform_wsss.metrics import ConfusionMatrix, connectivity_error, gradient_error, mse, sad

# --- confusion matrix


def naive_matrix(pred: torch.Tensor, target: torch.Tensor, classes: int, ignore: int) -> list[list[int]]:
    counts = [[0] * classes for _ in range(classes)]
    for p, t in zip(pred.flatten().tolist(), target.flatten().tolist(), strict=True):
        if t != ignore:
            counts[t][p] += 1
    return counts


@pytest.mark.parametrize("ignore", [255, -1, 0])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.int16])
def test_matrix_against_loops(ignore: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    pred = torch.randint(0, 4, (2, 5, 7)).to(dtype)
    target = torch.randint(0, 4, (2, 5, 7)).to(dtype)
    target[torch.rand(target.shape) < 0.3] = ignore
    matrix = ConfusionMatrix(4, ignore_index=ignore)
    matrix.update(pred[:1], target[:1])
    matrix.update(pred[1:], target[1:])
    assert matrix.matrix.tolist() == naive_matrix(pred, target, 4, ignore)


def test_scores_by_hand() -> None:
    matrix = ConfusionMatrix(4)
    # Class 0 is right on 2 of 3 pixels, class 1 on 1 of 2, class 2 only predicted, class 3 nowhere.
    matrix.update(torch.tensor([[[0, 0, 1, 1, 2, 0]]]), torch.tensor([[[0, 0, 0, 1, 1, 255]]]))
    scores = matrix.compute()
    assert scores.iou[:3].tolist() == pytest.approx([2 / 3, 1 / 3, 0])
    assert scores.iou[3].isnan()
    assert scores.mean_iou == pytest.approx(1 / 3)
    assert scores.pixel_accuracy == pytest.approx(3 / 5)
    assert scores.mean_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_scores_are_of_the_data_set_not_the_mean_of_images() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(torch.tensor([[[1, 1, 1, 1]]]), torch.tensor([[[1, 1, 1, 1]]]))
    matrix.update(torch.tensor([[[0, 1]]]), torch.tensor([[[0, 0]]]))
    assert matrix.compute().iou.tolist() == pytest.approx([1 / 2, 4 / 5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_scores_of_a_network(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    logits = torch.randn(2, 3, 4, 5, dtype=dtype, requires_grad=True)
    target = torch.randint(0, 3, (2, 4, 5))
    by_scores, by_labels = ConfusionMatrix(3), ConfusionMatrix(3)
    by_scores.update(logits, target)
    by_labels.update(logits.detach().argmax(1), target)
    assert by_scores.matrix.tolist() == by_labels.matrix.tolist()
    assert not by_scores.matrix.requires_grad


def test_nothing_counted_gives_nan() -> None:
    matrix = ConfusionMatrix(3)
    matrix.update(torch.zeros(1, 2, 2, dtype=torch.long), torch.full((1, 2, 2), 255))
    matrix.update(torch.zeros(0, 2, 2, dtype=torch.long), torch.zeros(0, 2, 2, dtype=torch.long))
    matrix.update(torch.zeros(0, 3, 2, 2), torch.zeros(0, 2, 2, dtype=torch.long))
    scores = matrix.compute()
    assert matrix.matrix.sum() == 0
    assert all(map(math.isnan, (scores.mean_iou, scores.pixel_accuracy, scores.mean_accuracy)))
    assert scores.iou.isnan().all()


def test_merge_add_reset() -> None:
    torch.manual_seed(2)
    pred, target = torch.randint(0, 3, (2, 4, 4)), torch.randint(0, 3, (2, 4, 4))
    first, second, both = (ConfusionMatrix(3) for _ in range(3))
    first.update(pred[:1], target[:1])
    second.update(pred[1:], target[1:])
    both.update(pred, target)
    alone = first.matrix.clone()
    assert (first + second).matrix.tolist() == both.matrix.tolist()
    assert first.matrix.tolist() == alone.tolist()
    assert first.merge(second) is first
    assert first.matrix.tolist() == both.matrix.tolist()
    first.reset()
    assert first.matrix.sum() == 0 and both.matrix.sum() == 32
    with pytest.raises(ValueError, match="other must have num_classes=3"):
        first.merge(ConfusionMatrix(4))
    with pytest.raises(ValueError, match="ignore_index=255"):
        first.merge(ConfusionMatrix(3, ignore_index=0))


def test_matrix_is_the_live_tensor() -> None:
    matrix = ConfusionMatrix(2)
    matrix.matrix.mul_(0).add_(3)  # what an all-reduce does
    assert matrix.compute().pixel_accuracy == 0.5


def test_invalid_values_are_refused_and_not_counted() -> None:
    matrix = ConfusionMatrix(2)
    good = torch.zeros(1, 1, 2, dtype=torch.long)
    nan = torch.tensor([[[[0.0, math.nan]], [[1.0, 1.0]]]])
    for pred, target in (
        (torch.tensor([[[0, 2]]]), good),
        (torch.tensor([[[0, -1]]]), good),
        (good, torch.tensor([[[0, 2]]])),
        (good, torch.tensor([[[0, -1]]])),
        (nan, good),
    ):
        with pytest.raises(ValueError, match=r"labels must be in 0..1 .* got 1 counted pixels"):
            matrix.update(pred, target)
    assert matrix.matrix.sum() == 0
    # Where the target does not count, the prediction may be anything.
    matrix.update(nan, torch.tensor([[[0, 255]]]))
    matrix.update(torch.tensor([[[0, 255]]]), torch.tensor([[[0, 255]]]))
    assert matrix.matrix.tolist() == [[1, 1], [0, 0]]


@pytest.mark.parametrize(
    ("pred", "target", "error", "message"),
    [
        (
            torch.zeros(1, 2, 2),
            torch.zeros(1, 2, 2).long(),
            TypeError,
            "pred .* integer type, got torch.float32",
        ),
        (torch.zeros(1, 3, 2, 2).long(), torch.zeros(1, 2, 2).long(), TypeError, "pred .* floating type"),
        (torch.zeros(1, 2, 2).long(), torch.zeros(1, 2, 2), TypeError, "target must be of an integer type"),
        (torch.zeros(1, 2, 2).long(), torch.zeros(2, 2).long(), ValueError, "target must be \\(N, H, W\\)"),
        (torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2).long(), ValueError, "got shape \\(1, 4, 2, 2\\)"),
        (torch.zeros(1, 2, 3).long(), torch.zeros(1, 2, 2).long(), ValueError, "got shape \\(1, 2, 3\\)"),
    ],
)
def test_wrong_arguments(pred: torch.Tensor, target: torch.Tensor, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"ConfusionMatrix.update: .*{message}"):
        ConfusionMatrix(3).update(pred, target)


def test_no_classes() -> None:
    with pytest.raises(ValueError, match="num_classes must be an integer >= 1"):
        ConfusionMatrix(0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_counts_without_waiting() -> None:
    torch.manual_seed(3)
    pred, target = torch.randint(0, 4, (2, 9, 9)), torch.randint(0, 4, (2, 9, 9))
    host, device = ConfusionMatrix(4), ConfusionMatrix(4)
    host.update(pred, target)
    scores = torch.nn.functional.one_hot(pred, 4).movedim(-1, 1).float().cuda()
    pred, target = pred.cuda(), target.cuda()
    device.update(pred, target)
    torch.cuda.set_sync_debug_mode("error")
    try:
        device.update(pred, target)
        device.update(scores, target)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert device.matrix.tolist() == (3 * host.matrix).tolist()
    assert (host + device).matrix.tolist() == (4 * host.matrix).tolist()
    device.update(pred + 4, target)
    with pytest.raises(ValueError, match=r"ConfusionMatrix.compute: .* got 162 counted pixels"):
        device.compute()


# --- matte errors


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
        with pytest.raises(ValueError, match=f"{name}: alpha must be in 0..1"):
            error(bad, alpha, unknown)
        with pytest.raises(ValueError, match=f"{name}: truth must be in 0..1"):
            error(alpha, bad, unknown)
    with pytest.raises(TypeError, match=f"{name}: alpha must be of a floating type, .* got uint8"):
        error(alpha.astype(np.uint8), alpha, unknown)
    with pytest.raises(TypeError, match=f"{name}: unknown must be bool, got int64"):
        error(alpha, alpha, unknown.astype(np.int64))
    with pytest.raises(ValueError, match=f"{name}: .* got shapes"):
        error(alpha, alpha[1:], unknown)
    with pytest.raises(ValueError, match=f"{name}: unknown must be True"):
        error(alpha, alpha, np.zeros_like(unknown))
