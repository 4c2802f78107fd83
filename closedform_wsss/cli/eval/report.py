"""The scores from the counts of ``eval``, as data and as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.cli.eval.counts import Counts, EvalOptions, Total
from closedform_wsss.cli.eval.input_warnings import check_class_numbers, input_warnings
from closedform_wsss.metrics._segmentation_scores import SegmentationScores, scores_of

_PRINTED_STEP = 0.05  # of the curve


def report(options: EvalOptions, total: Total, names: list[str] | None) -> dict[str, Any]:
    """All scores, ready for JSON, and warnings if they mean less than they seem to.

    Args:
        options: The options of the counts.
        total: The counts.
        names: The names of the classes; None: numbers only.

    Raises:
        ValueError: No pixel counts, or GT holds grey levels in place of class numbers.
    """
    if not total.counted:
        cure = ": if 255 is a class, --remap 255:1 numbers it" if options.ignore_index == 255 else ""
        raise ValueError(f"GT must have pixels other than --ignore-index {options.ignore_index}, got none{cure}")
    check_class_numbers(options, total)
    scores = scores_of_halves(options, total.halves, names)
    wrong = [row["class"] for row in scores["classes"] if row["recall"] is None]
    return {
        **scores,
        "ignored": total.ignored / (total.ignored + total.counted),
        "warnings": input_warnings(options, total, names, wrong),
    }


def scores_of_halves(options: EvalOptions, halves: Sequence[Counts], names: list[str] | None) -> dict[str, Any]:
    """Only the scores, of histograms that are not both empty.

    Raises:
        ValueError: All pixels are unlabelled and skipped.
    """
    # From here on matrices are (C + 1, C + 1): the last class stands for unlabelled predictions.
    kept = [*range(options.num_classes or max(map(_classes_seen, halves))), IGNORE_INDEX]
    halves = [half[np.ix_(kept, kept)] for half in halves]
    if options.thresholds is None:
        return _of_labels(options, halves, names)
    return _of_cams(options.thresholds, halves, names)


def _of_labels(options: EvalOptions, halves: list[Counts], names: list[str] | None) -> dict[str, Any]:
    matrix = (halves[0] + halves[1])[:, :, 0]
    unlabelled = float(matrix[:, -1].sum() / matrix.sum())
    if options.unlabelled == "skip":
        matrix[:, -1] = 0
        if not matrix.any():
            raise ValueError("PRED must label a pixel that counts, got none that --unlabelled skip does not leave out")
    return {**_scores(matrix, names), "unlabelled": unlabelled}


def _of_cams(thresholds: tuple[float, ...], halves: list[Counts], names: list[str] | None) -> dict[str, Any]:
    matrices = [[_matrix_at(half, n) for n in range(len(thresholds))] for half in halves]
    both = [one + other for one, other in zip(*matrices, strict=True)]
    curve = [_mean_iou(matrix) for matrix in both]
    best = int(np.argmax(curve))
    result = {"threshold": thresholds[best], **_scores(both[best], names)}
    if len(curve) > 1:
        result["curve"] = list(zip(thresholds, curve, strict=True))
        if all(half.any() for half in halves):
            chosen = [int(np.argmax([_mean_iou(matrix) for matrix in half])) for half in matrices]
            result["mean_iou_of_other_half"] = _mean_iou(matrices[0][chosen[1]] + matrices[1][chosen[0]])
    return result


def table(result: dict[str, Any]) -> str:
    """The text that the command prints."""
    rows = [f"{row['class']:>3} {row['name'] or ''}".rstrip() for row in result["classes"]]
    width = max(map(len, (*rows, "class")))
    lines = [f"{'class':<{width}}    IoU  precision  recall"]
    for name, row in zip(rows, result["classes"], strict=True):
        values = "".join(f"{'-' if v is None else format(v, '.3f'):>{n}}" for v, n in _columns(row))
        lines.append(f"{name:<{width}}{values}")
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
    lines.append(f"ignored         {result['ignored']:.4f} of the pixels of GT")
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
    return 1 + int(max(truth.max(initial=0), guess[guess != IGNORE_INDEX].max(initial=0)))


def _matrix_at(histogram: Counts, threshold: int) -> Counts:
    """The confusion matrix at a threshold: pixels that do not exceed it are background."""
    matrix: Counts = histogram[:, :, threshold + 1 :].sum(axis=2)
    matrix[:, 0] += histogram[:, :, : threshold + 1].sum(axis=(1, 2))
    return matrix


def _scores_of(matrix: Counts) -> SegmentationScores:
    return scores_of(torch.from_numpy(matrix), 0)


def _mean_iou(matrix: Counts) -> float:
    """The mean over the classes that occur, without "unlabelled"."""
    return float(_scores_of(matrix).iou[:-1].nanmean())


def _scores(matrix: Counts, names: list[str] | None) -> dict[str, Any]:
    found = _scores_of(matrix)
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
