"""The confusion matrix of a data set and the scores that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from closedform_wsss._checks import check_count, check_integer, check_tensor


@dataclass(frozen=True)
class SegmentationScores:
    """Scores over a data set, all in 0..1.

    Attributes:
        mean_iou: Mean of ``iou`` over the classes that occur in targets or predictions.
        iou: ``(C,)`` float64 on the CPU, true positives / (true positives + false positives + false
            negatives) of each class; NaN for a class that occurs in neither.
        pixel_accuracy: Share of the counted pixels that are predicted correctly.
        mean_accuracy: Mean over the classes that occur in targets of the share of their pixels that are
            predicted correctly.
    """

    mean_iou: float
    iou: Tensor
    pixel_accuracy: float
    mean_accuracy: float


class ConfusionMatrix:
    """Counts predictions against targets over a data set, on the device of the predictions.

    Pixels of all images go into one matrix, and the scores are computed once from it: the mean IoU of PASCAL
    VOC and Cityscapes, not the mean of the images' IoUs.

    On CUDA ``update`` starts kernels and waits for none. Labels out of range and NaN scores are counted on
    the device there, and ``compute`` reports them; on the CPU ``update`` itself does.

    Args:
        num_classes: Number of classes C.
        ignore_index: Target value of the pixels that do not count.

    Example:
        >>> import torch
        >>> matrix = ConfusionMatrix(num_classes=2)
        >>> matrix.update(torch.tensor([[[0, 1, 1, 0]]]), torch.tensor([[[0, 1, 0, 255]]]))
        >>> matrix.matrix.tolist()
        [[1, 1], [0, 1]]
        >>> scores = matrix.compute()
        >>> scores.iou.tolist(), scores.mean_iou
        ([0.5, 0.5], 0.5)
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        check_count("ConfusionMatrix", "num_classes", num_classes, 1)
        check_integer("ConfusionMatrix", "ignore_index", ignore_index)
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        # One buffer, so that an update is one scatter: the matrix row by row, ignored pixels, invalid pixels.
        self._counts = torch.zeros(num_classes * num_classes + 2, dtype=torch.int64)

    @property
    def matrix(self) -> Tensor:
        """``(C, C)`` int64, rows are targets and columns predictions.

        A view of the live counts: ``torch.distributed.all_reduce(confusion.matrix)`` sums them over
            processes.
        """
        return self._counts[:-2].view(self.num_classes, self.num_classes)

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Adds a batch.

        Args:
            pred: Labels ``(N, H, W)`` of an integer type, or scores ``(N, C, H, W)`` of a floating type, of
                which the largest wins (the first of equal ones).
            target: Labels ``(N, H, W)`` of an integer type, in 0..C-1 or ``ignore_index``.

        Raises:
            TypeError: ``pred`` or ``target`` is of the wrong type.
            ValueError: Shapes or devices do not agree; on the CPU also if a counted pixel has a label out of
                range or a NaN score. Nothing is added then.
        """
        self._check(pred, target)
        classes = self.num_classes
        truth = target.reshape(-1).long()
        counted = truth != self.ignore_index
        if pred.ndim == 4:
            # NaN is the maximum where it occurs, so looking at the maximum is enough.
            best, index = pred.detach().max(dim=1)
            guess = index.reshape(-1)
            valid = ~best.isnan().reshape(-1)
        else:
            guess = pred.reshape(-1).long()
            valid = (guess >= 0) & (guess < classes)
        valid = valid & (truth >= 0) & (truth < classes)
        ignored_bin, invalid_bin = len(self._counts) - 2, len(self._counts) - 1
        cell = torch.where(valid, truth * classes + guess, invalid_bin)
        cell = torch.where(counted, cell, ignored_bin)
        added = self._count(cell)
        if added.device.type == "cpu":
            self._refuse_invalid(added, "update")
        self._counts = self._counts.to(added.device) + added

    def compute(self) -> SegmentationScores:
        """Computes the scores; see ``SegmentationScores``.

        Classes that occur in neither targets nor predictions are left out of the means. If nothing was
        counted, everything is NaN.

        Raises:
            ValueError: A counted pixel had a label out of range or a NaN score.
        """
        counts = self._counts.cpu()
        self._refuse_invalid(counts, "compute")
        matrix = counts[:-2].view(self.num_classes, self.num_classes).double()
        hits, truth, guess = matrix.diagonal(), matrix.sum(dim=1), matrix.sum(dim=0)
        iou = hits / (truth + guess - hits)
        return SegmentationScores(
            mean_iou=iou.nanmean().item(),
            iou=iou,
            pixel_accuracy=(hits.sum() / matrix.sum()).item(),
            mean_accuracy=(hits / truth).nanmean().item(),
        )

    def reset(self) -> None:
        """Forgets everything counted."""
        self._counts = torch.zeros_like(self._counts)

    def merge(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Adds another matrix's counts, on any device, to this one's, and returns this one.

        Raises:
            ValueError: The other has another number of classes or ``ignore_index``.
        """
        if (other.num_classes, other.ignore_index) != (self.num_classes, self.ignore_index):
            raise ValueError(
                f"ConfusionMatrix.merge: other must have num_classes={self.num_classes} and "
                f"ignore_index={self.ignore_index}, got {other.num_classes} and {other.ignore_index}"
            )
        self._counts = self._counts + other._counts.to(self._counts.device)
        return self

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        return ConfusionMatrix(self.num_classes, self.ignore_index).merge(self).merge(other)

    def __repr__(self) -> str:
        return f"ConfusionMatrix(num_classes={self.num_classes}, ignore_index={self.ignore_index})"

    def _check(self, pred: Tensor, target: Tensor) -> None:
        where = "ConfusionMatrix.update"
        check_tensor(where, "pred", pred)
        check_tensor(where, "target", target)
        if target.is_floating_point() or target.is_complex():
            raise TypeError(f"{where}: target must be of an integer type, got {target.dtype}")
        if target.ndim != 3:
            raise ValueError(f"{where}: target must be (N, H, W), got shape {tuple(target.shape)}")
        if pred.ndim == 4 and not pred.is_floating_point():
            raise TypeError(f"{where}: pred of shape (N, C, H, W) must be of a floating type, got {pred.dtype}")
        if pred.ndim == 3 and (pred.is_floating_point() or pred.is_complex()):
            raise TypeError(f"{where}: pred of shape (N, H, W) must be of an integer type, got {pred.dtype}")
        batch, height, width = target.shape
        if tuple(pred.shape) not in ((batch, height, width), (batch, self.num_classes, height, width)):
            scores = (batch, self.num_classes, height, width)
            raise ValueError(
                f"{where}: pred must be {(batch, height, width)} or {scores} "
                f"to go with target, got shape {tuple(pred.shape)}"
            )
        if pred.device != target.device:
            raise ValueError(f"{where}: target must be on the device of pred, {pred.device}, got {target.device}")

    def _count(self, cell: Tensor) -> Tensor:
        bins = len(self._counts)
        if cell.device.type == "cpu":
            return torch.bincount(cell, minlength=bins)
        # bincount waits for the device to learn its size; a scatter does not.
        counts = torch.zeros(bins, dtype=torch.int64, device=cell.device)
        return counts.scatter_add_(0, cell, torch.ones_like(cell))

    def _refuse_invalid(self, counts: Tensor, method: str) -> None:
        invalid = int(counts[-1])
        if invalid:
            raise ValueError(
                f"ConfusionMatrix.{method}: labels must be in 0..{self.num_classes - 1} (target also "
                f"{self.ignore_index}) and scores not NaN, got {invalid} counted pixels where they are not"
            )
