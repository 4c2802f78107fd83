"""The confusion matrix of a data set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor

from closedform_wsss._arrays import as_tensor
from closedform_wsss._checks import as_int64, check_count, check_integer
from closedform_wsss._warn import warn_user
from closedform_wsss.metrics._segmentation_scores import SegmentationScores, scores_of

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup


class ConfusionMatrix:
    """Counts predictions and targets over a data set, on the device of the predictions.

    The pixels of all images go into one matrix, and the scores are computed from it. This is the mean IoU of PASCAL VOC
    and Cityscapes, not the mean of the IoUs of single images.

    On CUDA ``update`` does not wait for the device. Labels out of range and NaN scores are counted on the device, and
    ``compute`` reports them. On the CPU ``update`` reports them.

    A binary network has two classes, background and object. If it gives one logit z for each pixel, pass the labels
    ``(z > 0).long().squeeze(1)``, or the scores ``torch.cat([torch.zeros_like(z), z], 1)``.

    Args:
        num_classes: Number of classes C, 2 or more.
        ignore_index: The target value of pixels that do not count. Default 255.

    Raises:
        TypeError: ``ignore_index`` is not an integer.
        ValueError: ``num_classes`` is below 2, where every score is 1; ``ignore_index`` does not fit into int64, or
            it is 255 and 255 is a class.

    Example:
        >>> import torch
        >>> from closedform_wsss.metrics import ConfusionMatrix
        >>> matrix = ConfusionMatrix(num_classes=2)
        >>> matrix.update(torch.tensor([[[0, 1, 1, 0]]]), torch.tensor([[[0, 1, 0, 255]]]))
        >>> matrix.matrix.tolist()
        [[1, 1], [0, 1]]
        >>> scores = matrix.compute()
        >>> scores.iou.tolist(), scores.mean_iou, scores.ignored
        ([0.5, 0.5], 0.5, 0.25)
    """

    def __init__(self, num_classes: int, ignore_index: int = 255) -> None:
        fn = "ConfusionMatrix"
        given: Any = num_classes
        num_classes = int(given) if isinstance(given, np.integer) else given
        if type(num_classes) is int and num_classes == 1:
            raise ValueError(
                f"{fn}: num_classes must be an integer >= 2, got 1, with which every score is 1: a binary network "
                "has two classes, background and object; its one logit z becomes labels, (z > 0).long().squeeze(1), "
                "or scores, torch.cat([torch.zeros_like(z), z], 1)"
            )
        check_count(fn, "num_classes", num_classes, 2)
        check_integer(fn, "ignore_index", ignore_index)
        if ignore_index == 255 < num_classes:
            raise ValueError(
                f"{fn}: ignore_index must not be the class 255 of {num_classes}, got 255: pass another, such as -1"
            )
        self.num_classes = num_classes
        self.ignore_index = int(ignore_index)
        # One buffer, so that an update is one scatter: the rows of the matrix, then ignored and invalid pixels.
        self._counts = torch.zeros(num_classes * num_classes + 2, dtype=torch.int64, device="cpu")

    @property
    def matrix(self) -> Tensor:
        """``(C, C)`` int64. Rows are targets, columns predictions; ignored pixels are left out.

        A view of the current counts. To sum over processes call :meth:`all_reduce`.
        """
        return self._counts[:-2].view(self.num_classes, self.num_classes)

    def update(self, preds: npt.ArrayLike | Tensor, target: npt.ArrayLike | Tensor) -> None:
        """Adds a batch.

        Args:
            preds: Labels ``(N, H, W)`` of any integer type or bool, or scores ``(N, C, H, W)`` of a floating type,
                whose largest wins, the first of equal ones. Arrays or tensors.
            target: Labels ``(N, H, W)`` of any integer type or bool, in 0..C-1 or ``ignore_index``.

        Raises:
            TypeError: ``preds`` or ``target`` is of the wrong type.
            ValueError: Shapes or devices do not agree; on the CPU also if a counted pixel has a label out of
                range or a NaN score. Nothing is added then.
        """
        fn = "ConfusionMatrix.update"
        preds, target = as_tensor(fn, "preds", preds), as_tensor(fn, "target", target)
        self._check(fn, preds, target)
        classes = self.num_classes
        truth = as_int64(target).reshape(-1)
        counted = truth != self.ignore_index
        if preds.ndim == 4:
            # NaN wins every maximum, so it is enough to look at the maximum. torch cannot compare float8.
            scores = preds.detach().float() if preds.element_size() == 1 else preds.detach()
            best, index = scores.max(dim=1)
            guess = index.reshape(-1)
            valid = ~best.isnan().reshape(-1)
        else:
            guess = as_int64(preds).reshape(-1)
            valid = (guess >= 0) & (guess < classes)
        valid = valid & (truth >= 0) & (truth < classes)
        ignored_bin, invalid_bin = len(self._counts) - 2, len(self._counts) - 1
        cell = torch.where(valid, truth * classes + guess, invalid_bin)
        cell = torch.where(counted, cell, ignored_bin)
        added = self._count(cell)
        if added.device.type == "cpu" and added[-1]:
            wrong = counted & ~valid
            found = _outside("target", truth[wrong], classes)
            cure = ": ignore_index names the value of target that does not count" if found else ""
            if preds.ndim == 4:
                found += ["NaN in preds"] * bool((counted & best.isnan().reshape(-1)).any())
            else:
                found += _outside("preds", guess[wrong], classes)
            self._refuse_invalid(added, "update", f" ({', '.join(found)}){cure}")
        self._counts = self._counts.to(added.device) + added

    def compute(self) -> SegmentationScores:
        """Computes the scores; see :class:`SegmentationScores`.

        Classes that occur in neither targets nor predictions are left out of the means. If no pixel was counted, all
        scores are NaN.

        Warns:
            UserWarning: The scores mean nothing: no pixel was counted, or only one class occurs in targets.

        Raises:
            ValueError: A counted pixel had a label out of range or a NaN score.
        """
        counts = self._counts.cpu()
        self._refuse_invalid(counts, "compute")
        scores = scores_of(counts[:-2].view(self.num_classes, self.num_classes), int(counts[-2]))
        doubt = self._doubt(scores, int(counts[:-2].sum()), int(counts[-2]))
        if doubt is not None:
            warn_user(f"ConfusionMatrix.compute: {doubt}", UserWarning)
        return scores

    def reset(self) -> None:
        """Sets all counts to zero."""
        self._counts = torch.zeros_like(self._counts)

    def merge(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Adds another matrix's counts, on any device, to this one's, and returns this one.

        Raises:
            ValueError: The other has another number of classes or ``ignore_index``.
        """
        self._refuse_other("merge", "other", [(other.num_classes, other.ignore_index)])
        self._counts = self._counts + other._counts.to(self._counts.device)
        return self

    def all_reduce(self, group: ProcessGroup | None = None) -> ConfusionMatrix:
        """Gives every process the sum of the counts of all processes, ignored and invalid pixels too; returns this one.

        Call it once in every process, after the last ``update``. It works with every backend of ``torch.distributed``,
        also if a process had no batch. Without a process group it does nothing, so the same script runs in one process
        and in many.

        Args:
            group: Processes to sum over. Default: all.

        Raises:
            ValueError: Processes have other numbers of classes or another ``ignore_index``.

        Example:
            >>> import torch
            >>> from closedform_wsss.metrics import ConfusionMatrix
            >>> matrix = ConfusionMatrix(num_classes=2)
            >>> matrix.update(torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 1, 255]]]))
            >>> matrix.all_reduce().compute().mean_iou  # of all processes together
            1.0
        """
        if not (dist.is_available() and dist.is_initialized()):
            return self
        # As objects, because NCCL takes only tensors on the GPU, and a process without a batch has counts on the CPU.
        parts: list[Any] = [None] * dist.get_world_size(group)
        dist.all_gather_object(parts, (self.num_classes, self.ignore_index, self._counts.cpu()), group)
        self._refuse_other("all_reduce", "all processes", [part[:2] for part in parts])
        self._counts = torch.stack([counts for *_, counts in parts]).sum(dim=0).to(self._counts.device)
        return self

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        return ConfusionMatrix(self.num_classes, self.ignore_index).merge(self).merge(other)

    def __repr__(self) -> str:
        return f"ConfusionMatrix(num_classes={self.num_classes}, ignore_index={self.ignore_index})"

    def _check(self, fn: str, preds: Tensor, target: Tensor) -> None:
        if target.is_floating_point() or target.is_complex():
            raise TypeError(f"{fn}: target must be of an integer type, got {target.dtype}: target.long()")
        if target.ndim != 3:
            cure = self._to_labels(tuple(target.shape))
            raise ValueError(f"{fn}: target must be (N, H, W), got shape {tuple(target.shape)}{cure}")
        batch, height, width = target.shape
        one_channel = tuple(preds.shape) == (batch, 1, height, width)
        if one_channel and preds.is_floating_point():
            raise ValueError(
                f"{fn}: preds must be {(batch, self.num_classes, height, width)} to go with target, got one channel "
                f"for {self.num_classes} classes, shape {tuple(preds.shape)}: the one logit z of a binary network "
                "becomes labels, (z > 0).long().squeeze(1), or scores, torch.cat([torch.zeros_like(z), z], 1)"
            )
        if preds.ndim == 4 and not preds.is_floating_point():
            cure = ": labels are (N, H, W), preds.squeeze(1)" if one_channel else ""
            raise TypeError(f"{fn}: preds of shape (N, C, H, W) must be of a floating type, got {preds.dtype}{cure}")
        if preds.ndim == 3 and (preds.is_floating_point() or preds.is_complex()):
            raise TypeError(
                f"{fn}: preds of shape (N, H, W) must be of an integer type, got {preds.dtype}: pass labels, "
                "preds.long(); the logits of a binary network become (preds > 0).long()"
            )
        if tuple(preds.shape) not in ((batch, height, width), (batch, self.num_classes, height, width)):
            scores = (batch, self.num_classes, height, width)
            last = tuple(preds.shape) == (batch, height, width, self.num_classes)
            raise ValueError(
                f"{fn}: preds must be {(batch, height, width)} or {scores} "
                f"to go with target, got shape {tuple(preds.shape)}{': preds.permute(0, 3, 1, 2)' if last else ''}"
            )
        if preds.device != target.device:
            raise ValueError(f"{fn}: target must be on the device of preds, {preds.device}, got {target.device}")

    def _to_labels(self, shape: tuple[int, ...]) -> str:
        """The cure for a target of this shape."""
        if len(shape) == 2:
            return ": target[None]"
        if len(shape) != 4:
            return ""
        if shape[1] == 1:
            return ": target.squeeze(1)"
        one_hot = [axis for axis in (1, 3) if shape[axis] == self.num_classes]
        return f": target.argmax({one_hot[0]}), if it is one-hot at every pixel" if one_hot else ""

    def _count(self, cell: Tensor) -> Tensor:
        bins = len(self._counts)
        if cell.device.type == "cpu":
            return torch.bincount(cell, minlength=bins)
        # bincount waits for the device, because the values decide its size; a scatter does not wait.
        counts = torch.zeros(bins, dtype=torch.int64, device=cell.device)
        return counts.scatter_add_(0, cell, torch.ones_like(cell))

    def _refuse_invalid(self, counts: Tensor, method: str, found: str = "") -> None:
        invalid = int(counts[-1])
        if invalid:
            raise ValueError(
                f"ConfusionMatrix.{method}: labels must be in 0..{self.num_classes - 1} (target also "
                f"{self.ignore_index}) and scores not NaN, got {invalid} counted pixels where they are not{found}"
            )

    def _refuse_other(self, method: str, name: str, options: list[tuple[int, int]]) -> None:
        for classes, ignored in options:
            if (classes, ignored) != (self.num_classes, self.ignore_index):
                raise ValueError(
                    f"ConfusionMatrix.{method}: {name} must have num_classes={self.num_classes} and "
                    f"ignore_index={self.ignore_index}, got {classes} and {ignored}"
                )

    def _doubt(self, scores: SegmentationScores, counted: int, ignored: int) -> str | None:
        """Why the scores mean nothing, or None."""
        present = scores.classes_in_target.nonzero().flatten().tolist()
        if len(present) > 1:
            return None
        if not counted + ignored:
            return "the scores are NaN, because update was given no pixel"
        if counted:
            said = f"class {present[0]} alone occurs in the {counted} counted pixels of target: scores say little then"
        else:
            said = f"the scores are NaN, because all {ignored} pixels of target are ignore_index {self.ignore_index}"
        if ignored and self.ignore_index == 255 and present in ([], [0]):
            said += "; if target is a mask of 0 and 255, pass (target == 255).long()"
        return said


def _outside(name: str, labels: Tensor, classes: int) -> list[str]:
    """The labels out of range, for an error."""
    values = labels[(labels < 0) | (labels >= classes)].unique()[:5].tolist()
    return [f"{values} in {name}"] if values else []
