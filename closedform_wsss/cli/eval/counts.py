"""The counts of ``eval`` for each image.

They are a histogram over the true label, the class with the largest CAM, and the number of thresholds that this CAM
exceeds. The confusion matrix at every threshold follows from it. A label map is the same without thresholds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.cams.values import check_upright, unit_range
from closedform_wsss.cli.common.caught_warnings import caught_warnings
from closedform_wsss.io import read_label_png, read_marks, read_probabilities
from closedform_wsss.io._labels.remap_labels import Remap
from closedform_wsss.io._maps.cams import load_cam

_LABELS = 256

Counts = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class EvalOptions:
    """The options that the counts depend on.

    Attributes:
        thresholds: Ascending. A pixel is background if no CAM exceeds the threshold. None: predictions are no CAMs.
        num_classes: All labels must be below this. None: any label.
        ignore_index: The true label of pixels that do not count.
        unlabelled: How pixels count whose prediction is 255: "wrong", "skip", or None, an error.
        normalize: Divide each CAM by its maximum.
        remap: New values for the stored ones of label maps, applied first. None: values are as stored.
        palette, orientation: How label maps are read, see ``read_label_png``.
        of_classes: "labels" for label maps, or "probabilities" or "logits" of all classes. Of no use for CAMs.
    """

    thresholds: tuple[float, ...] | None
    num_classes: int | None
    ignore_index: int
    unlabelled: str | None
    normalize: bool
    remap: Remap | None = None
    palette: str = "auto"
    orientation: str | None = None
    of_classes: str = "labels"

    @property
    def bins(self) -> int:
        """The number of thresholds that a CAM exceeds is from 0 to all of them."""
        return len(self.thresholds or ()) + 1


@dataclass(frozen=True)
class EvalJob:
    """One image; ``half`` is 0 or 1, ``classes`` are those of CAMs, if the file does not name them; see ``Tags``."""

    prediction: Path
    truth: Path
    half: int
    classes: tuple[int, ...] | None = None
    all_classes: tuple[int, ...] = ()


@dataclass(frozen=True)
class ImageCounts:
    """The counts of one image.

    Attributes:
        cells: The cells of its flat histogram that are not zero.
        counts: Their counts.
        ignored: The number of pixels of GT that do not count.
        void: Whether no pixel counts.
        undecided: Why the options do not say how to count it. Then nothing else is of use.
        warnings: Of the readers of its files.
    """

    cells: Counts
    counts: Counts
    ignored: int
    void: bool
    undecided: str = ""
    warnings: tuple[str, ...] = ()


@dataclass
class Total:
    """The counts of all images.

    Attributes:
        halves: Histograms of the two halves of the images.
        ignored: Pixels of GT that do not count.
        void: The files of GT in which no pixel counts.
        failed: The number of images that could not be counted.
    """

    halves: tuple[Counts, Counts]
    ignored: int = 0
    void: list[Path] = field(default_factory=list)
    failed: int = 0

    @property
    def counted(self) -> int:
        """The number of pixels of GT that count."""
        return int(self.halves[0].sum() + self.halves[1].sum())

    def add(self, job: EvalJob, image: ImageCounts) -> None:
        """Adds an image."""
        self.halves[job.half].reshape(-1)[image.cells] += image.counts
        self.ignored += image.ignored
        if image.void:
            self.void.append(job.truth)


def empty_histogram(options: EvalOptions) -> Counts:
    """``(256, 256, bins)``: true label, predicted label, number of exceeded thresholds."""
    return np.zeros((_LABELS, _LABELS, options.bins), np.int64)


def count_image(options: EvalOptions, job: EvalJob) -> ImageCounts:
    """The counts of one image.

    Raises:
        OSError: A file cannot be read.
        ValueError: A file is damaged, sizes differ, or labels are out of range.
    """
    with caught_warnings() as warned:
        found = _count(options, job)
    return replace(found, warnings=tuple(warned))


def _count(options: EvalOptions, job: EvalJob) -> ImageCounts:
    truth = _read_labels(options, job.truth)
    counted = truth != options.ignore_index
    read = (
        _strongest if options.thresholds is not None else _labels if options.of_classes == "labels" else _most_probable
    )
    winner, exceeded = read(options, job, truth)
    unlabelled = (winner == IGNORE_INDEX) & counted
    if options.unlabelled is None and unlabelled.any():
        cure = ""
        if options.remap is None and not ((winner != 0) & (winner != IGNORE_INDEX)).any():
            cure = "; if this is a mask of 0 and 255, --remap 255:1 makes 255 a class"
        elif options.remap == "reduce_zero" or IGNORE_INDEX in dict(options.remap or {}).values():
            cure = "; --remap, which is for PRED as for GT, may have made them so"
        none = np.zeros(0, np.int64)
        why = f"{unlabelled.sum()} pixels are left unlabelled (255): --unlabelled says whether they are wrong or do not"
        return ImageCounts(none, none, 0, False, f"{why} count{cure}")
    _check_labels(options, truth[counted], job.truth)
    _check_labels(options, winner[counted & ~unlabelled], job.prediction)
    cell = (truth * _LABELS + winner) * options.bins + exceeded
    cells, counts = np.unique(cell[counted], return_counts=True)
    scored = counted & ~unlabelled if options.unlabelled == "skip" else counted
    return ImageCounts(cells, counts, int(truth.size - counts.sum()), not scored.any())


def _read_labels(options: EvalOptions, path: Path) -> Labels:
    """A label map after ``remap``."""
    palette, orientation = options.palette, options.orientation
    if options.remap is None:
        return read_label_png(path, palette=palette, orientation=orientation).numpy()
    return read_marks(path, kind="labels", remap=options.remap, palette=palette, orientation=orientation).numpy()


def _labels(options: EvalOptions, job: EvalJob, truth: Labels) -> tuple[Counts, Counts]:
    """The predicted labels, without thresholds."""
    prediction = _read_labels(options, job.prediction)
    if prediction.shape != truth.shape:
        raise ValueError(
            f"the prediction must have the size of the truth {truth.shape}, got {prediction.shape} in {job.prediction}"
        )
    return prediction, np.zeros(truth.shape, np.int64)


def _most_probable(options: EvalOptions, job: EvalJob, truth: Labels) -> tuple[Counts, Counts]:
    """The most probable class, without thresholds."""
    probs = read_probabilities(job.prediction, logits=options.of_classes == "logits")
    check_upright(probs, truth.shape[0], truth.shape[1], what="probabilities")
    if probs.shape[1:] != truth.shape:
        probs = torch.nn.functional.interpolate(probs[None], truth.shape, mode="bilinear", align_corners=False)[0]
    return probs.argmax(0).numpy(), np.zeros(truth.shape, np.int64)


def _strongest(options: EvalOptions, job: EvalJob, truth: Labels) -> tuple[Counts, Counts]:
    """For each pixel of GT: the class with the largest CAM, and the number of thresholds that this CAM exceeds."""
    _, classes, maps = load_cam(job.prediction, job.classes, job.all_classes)
    if len(classes) == 0:
        return np.zeros(truth.shape, np.int64), np.zeros(truth.shape, np.int64)  # background at any threshold
    if classes.max() >= IGNORE_INDEX:
        raise ValueError(f"classes must be up to 254, got {classes.max()} in {job.prediction}")
    check_upright(maps, *truth.shape)
    cam = unit_range(maps, normalize=options.normalize)
    if cam.shape[1:] != truth.shape:
        cam = torch.nn.functional.interpolate(cam[None], truth.shape, mode="bilinear", align_corners=False)[0]
    best, winner = cam.max(0)
    # In float32, as in pseudo_labels.
    thresholds = np.array(options.thresholds, np.float32)
    return classes[winner].numpy(), np.searchsorted(thresholds, best.numpy(), side="left")


def _check_labels(options: EvalOptions, found: npt.NDArray[np.integer], path: Path) -> None:
    limit = IGNORE_INDEX if options.num_classes is None else options.num_classes
    wrong = np.unique(found[found >= limit])
    if wrong.size:
        cure = ""
        if options.remap is None and IGNORE_INDEX in wrong:
            cure = ": --remap 255:1 makes 255 a class, and without --ignore-index it does not count"
        elif options.num_classes is not None and wrong.tolist() == [limit]:
            cure = ": the background is a class too; if 0 means unlabelled, --remap reduce_zero"
        raise ValueError(f"labels must be below {limit}, got {wrong[:5].tolist()} in {path}{cure}")
