"""The scores that follow from the counts of ``eval``, as data and as text."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from closedform_wsss.cli._eval_counts import UNLABELLED, Counts, EvalOptions
from closedform_wsss.metrics import ConfusionMatrix

_PRINTED_STEP = 0.05  # of the curve


def report(options: EvalOptions, halves: list[Counts], names: list[str] | None) -> dict[str, Any]:
    """All scores, ready for JSON.

    Args:
        options: Those of the counts.
        halves: The histograms of the two halves of the images.
        names: Of the classes; None: numbers only.

    Raises:
        ValueError: No pixel counts.
    """
    if not any(half.any() for half in halves):
        raise ValueError("GT must have pixels other than --ignore-index, got none")
    classes = options.num_classes or max(map(_classes_seen, halves))
    # From here on matrices are (C + 1, C + 1): the last class stands for unlabelled predictions.
    kept = [*range(classes), UNLABELLED]
    halves = [half[np.ix_(kept, kept)] for half in halves]
    if options.thresholds is None:
        matrix = (halves[0] + halves[1])[:, :, 0]
        unlabelled = float(matrix[:, -1].sum() / matrix.sum())
        if options.unlabelled == "skip":
            matrix[:, -1] = 0
        return {**_scores(matrix, names), "unlabelled": unlabelled}
    matrices = [[_matrix_at(half, n) for n in range(options.bins - 1)] for half in halves]
    both = [one + other for one, other in zip(*matrices, strict=True)]
    curve = [_mean_iou(matrix) for matrix in both]
    best = int(np.argmax(curve))
    result = {"threshold": options.thresholds[best], **_scores(both[best], names)}
    if len(curve) > 1:
        result["curve"] = list(zip(options.thresholds, curve, strict=True))
        if all(half.any() for half in halves):
            chosen = [int(np.argmax([_mean_iou(matrix) for matrix in half])) for half in matrices]
            result["mean_iou_of_other_half"] = _mean_iou(matrices[0][chosen[1]] + matrices[1][chosen[0]])
    return result


def table(result: dict[str, Any]) -> str:
    """What the command prints."""
    rows = [f"{row['class']:>3} {row['name'] or ''}".rstrip() for row in result["classes"]]
    width = max(map(len, (*rows, "class")))
    lines = [f"{'class':<{width}}    IoU  precision  recall"]
    for name, row in zip(rows, result["classes"], strict=True):
        shares = "".join(f"{'-' if v is None else format(v, '.3f'):>{n}}" for v, n in _columns(row))
        lines.append(f"{name:<{width}}{shares}")
    lines.append("")
    if "curve" in result:
        every = round(_PRINTED_STEP * (len(result["curve"]) - 1))
        lines.append("threshold  mean IoU")
        lines += [f"{threshold:>9.2f}  {value:.4f}" for threshold, value in result["curve"][::every]]
        lines.append("")
    left_out = "".join(f", {result[name]} {name}" for name in ("missing", "failed") if result[name])
    lines.append(f"mean IoU        {result['mean_iou']:.4f} over {len(result['classes'])} classes that occur")
    lines.append(f"pixel accuracy  {result['pixel_accuracy']:.4f}")
    lines.append(f"mean accuracy   {result['mean_accuracy']:.4f}")
    if result.get("unlabelled"):
        lines.append(f"unlabelled      {result['unlabelled']:.4f} of the pixels")
    if "threshold" in result:
        note = ", the best on these same images" if "curve" in result else ""
        lines.append(f"threshold       {result['threshold']:g}{note}")
    if "mean_iou_of_other_half" in result:
        lines.append(
            f"fair mean IoU   {result['mean_iou_of_other_half']:.4f} with the threshold of each half of the images "
            "chosen on the other"
        )
    lines.append(f"images          {result['images']}{left_out}")
    return "\n".join(lines)


def _columns(row: dict[str, Any]) -> list[tuple[float | None, int]]:
    return [(row["iou"], 7), (row["precision"], 11), (row["recall"], 8)]


def _classes_seen(histogram: Counts) -> int:
    """One more than the highest label."""
    truth, guess = np.nonzero(histogram.any(axis=2))
    return 1 + int(max(truth.max(initial=0), guess[guess != UNLABELLED].max(initial=0)))


def _matrix_at(histogram: Counts, threshold: int) -> Counts:
    """The confusion matrix at one of the thresholds: what does not exceed it is background."""
    matrix: Counts = histogram[:, :, threshold + 1 :].sum(axis=2)
    matrix[:, 0] += histogram[:, :, : threshold + 1].sum(axis=(1, 2))
    return matrix


def _confusion(matrix: Counts) -> ConfusionMatrix:
    confusion = ConfusionMatrix(len(matrix))
    confusion.matrix.copy_(torch.from_numpy(matrix))
    return confusion


def _mean_iou(matrix: Counts) -> float:
    """Over the classes that occur, "unlabelled" not among them."""
    return float(_confusion(matrix).compute().iou[:-1].nanmean())


def _scores(matrix: Counts, names: list[str] | None) -> dict[str, Any]:
    found = _confusion(matrix).compute()
    truth, guess, hits = matrix.sum(axis=1), matrix.sum(axis=0), matrix.diagonal()
    rows = [
        {
            "class": label,
            "name": None if names is None else names[label],
            "iou": float(found.iou[label]),
            "precision": float(hits[label] / guess[label]) if guess[label] else None,
            "recall": float(hits[label] / truth[label]) if truth[label] else None,
        }
        for label in range(len(matrix) - 1)
        if truth[label] or guess[label]
    ]
    return {
        "mean_iou": _mean_iou(matrix),
        "pixel_accuracy": found.pixel_accuracy,
        "mean_accuracy": found.mean_accuracy,
        "classes": rows,
    }
