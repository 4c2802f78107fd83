"""Pseudo-labels of a training set, made of the network's own predictions, the marks and the image."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from closedform_wsss._checks import check_count, check_integer, check_maps, check_num_classes, check_tensor
from closedform_wsss._warn import warn_user
from closedform_wsss.functional.mark_loss import mark_loss
from closedform_wsss.io import read_label_png
from closedform_wsss.training.class_balance import class_weights
from closedform_wsss.training.evaluation_mode import evaluation_mode
from closedform_wsss.training.label_loss import label_loss
from closedform_wsss.training.label_round import (
    FN,
    LabelRound,
    Predicted,
    finish_cut_round,
    is_first,
    label_file,
    read_state,
    state_file,
)
from closedform_wsss.training.model_output import check_probabilities, probabilities
from closedform_wsss.training.recipe import Recipe, Report, check_recipe
from closedform_wsss.training.resolution import prediction_scales
from closedform_wsss.training.sample import Sample, check_sample, each_of, parts_of


class PseudoLabeler:
    r"""Self-training in rounds: makes labels of all training images from the network, the marks and the images.

    A network that has learned from marks alone predicts roughly where each class is, but too much of the classes that
    are marked densely. In each round its probabilities p on the training images, averaged with those of enlarged
    copies, become labels:

    1. Classes without a mark in an image are absent from it: p is 0 for them there. An image without any mark may hold
       all classes.
    2. The :func:`matting filter <closedform_wsss.functional.refine_prediction>` aligns p with the edges of the image
       and keeps the marks: q. Its scale follows from the distance between the marks of different classes.
    3. The fractions of pixels that each class wins in q are the wanted areas. :func:`class_factors` multiplies p so
       that its mean has these areas, but not so far that a class loses its marks, and step 2 follows again. All this
       twice.
    4. The winning class of q at each pixel is the label; marked pixels keep their marks. A pixel has no label, which is
       ``ignore_index``, where the second class has more than half of the probability of the first: there most errors
       are. An image with dots alone has a label at every pixel.

    Labels are PNG files in a folder, so a data set reads them before its own augmentation, in any process and after a
    restart. Under ``torch.distributed`` each rank passes its own part of the samples, and all share the folder.

    Args:
        folder: For the labels and the state, in ``folder/labels``; made if it is missing.
        num_classes: C, 2 to 254.
        recipe: The settings. Default :class:`Recipe()`.
        ignore_index: Label of unmarked pixels, outside [0, C) and in [0, 255]. Default 255.

    Raises:
        TypeError, ValueError: An option is out of range; the folder holds the labels of another number of classes, or a
            folder ``labels`` of something else.

    Example:
        >>> import tempfile, torch
        >>> from closedform_wsss.training import PseudoLabeler
        >>> marks = torch.full((32, 40), 255)
        >>> marks[5, 5:35], marks[25, 5:35] = 0, 1
        >>> samples = [("a", torch.rand(3, 32, 40), marks)]
        >>> model = torch.nn.Conv2d(3, 2, 3, padding=1)
        >>> labeler = PseudoLabeler(tempfile.mkdtemp(), num_classes=2)
        >>> for epoch in range(12):
        ...     if labeler.due(epoch, 12):
        ...         report = labeler.update(model, samples)
        >>> labeler.round
        2
        >>> labeler["a"].shape, labeler.class_weight.shape
        (torch.Size([32, 40]), torch.Size([2]))
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        num_classes: int,
        recipe: Recipe | None = None,
        *,
        ignore_index: int = 255,
    ) -> None:
        fn = "PseudoLabeler"
        self.num_classes = check_count(fn, "num_classes", num_classes, 2)
        self.ignore_index = check_integer(fn, "ignore_index", ignore_index)
        if self.num_classes > 254 or not self.num_classes <= self.ignore_index <= 255:
            raise ValueError(
                f"{fn}: labels are stored in 8 bits: num_classes must be at most 254 and ignore_index in "
                f"[{num_classes}, 255], got {num_classes} and {ignore_index}"
            )
        self.recipe = check_recipe(fn, recipe)
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        finish_cut_round(self.folder)
        self._rounds_before: int | None = None  # of the round that is due
        self.round, self._fractions = 0, torch.full((self.num_classes,), 1 / self.num_classes, device="cpu")
        if state_file(self.folder).exists():
            self.round, fractions = read_state(state_file(self.folder))
            if len(fractions) != self.num_classes:
                raise ValueError(
                    f"{fn}: {self.folder} holds labels of {len(fractions)} classes, got num_classes "
                    f"{num_classes}: pass another folder"
                )
            self._fractions = torch.tensor(fractions, device="cpu")
        elif (self.folder / "labels").exists():
            raise ValueError(
                f"{fn}: {self.folder} holds a folder labels that no PseudoLabeler made, and would replace it: pass "
                "another folder"
            )

    @property
    def class_weight(self) -> Tensor:
        """``(C,)``, of :meth:`loss` on the labels: larger for rare classes. All 1 before the first round."""
        return class_weights(self._fractions, power=self.recipe.balance)

    def due(self, epoch: int, epochs: int) -> bool:
        """Whether labels are to be made before this epoch, counted from 0, of a training of so many epochs.

        A round that is due again, because the training was cut after it and goes on before it, is made anew.

        Raises:
            TypeError: epoch or epochs is not an integer.
            ValueError: epoch is below 0, or epochs below 1. At epoch 0 the folder holds labels already: they are those
                of an earlier training. Or it lacks a round that this training made before this epoch, or holds one that
                another training has made.

        Warns:
            UserWarning: The folder holds the labels of a round after this epoch: the training goes on with them.
        """
        epoch = check_count("PseudoLabeler.due", "epoch", epoch, 0)
        epochs = check_count("PseudoLabeler.due", "epochs", epochs, 1)
        self._check_state()
        starts = {max(int(epochs * part + 1e-9), 1) for part in self.recipe.rounds}
        before, due = sum(start < epoch for start in starts), epoch in starts
        if epoch == 0 and self.round:
            raise ValueError(
                f"PseudoLabeler: {self.folder} holds the labels of an earlier training, and this one starts at epoch "
                "0: pass another folder, or delete this one"
            )
        if self.round < before:
            raise ValueError(
                f"PseudoLabeler: {self.folder} holds round {self.round} at epoch {epoch} of {epochs}, where {before} "
                "rounds were made: pass the folder that the training began with, ask due at each epoch, and call "
                "update where it says so"
            )
        if self.round > before + due:
            warn_user(
                f"PseudoLabeler: {self.folder} holds round {self.round}, which is made after epoch {epoch} of "
                f"{epochs}: the training goes on with its labels",
                UserWarning,
            )
        if due:
            self._rounds_before = before
        return due

    def get(self, key: str, marks: Tensor) -> Tensor:
        """The label of a sample, or its marks before the first round. For the ``__getitem__`` of a data set.

        Args:
            key: The name of the sample.
            marks: ``(H, W)``, the marks of the whole image, before augmentation.

        Raises:
            KeyError: A round has been made, but not for this sample.
            TypeError: marks are no tensor.
            ValueError: The label does not hold these marks: they are augmented, or of another image.
        """
        check_tensor("PseudoLabeler.get", "marks", marks)  # before the first round too, not hours later
        # A worker that lives through the training has a copy of the labeler from before the first round.
        if not self.round and key not in self and not state_file(self.folder).exists():
            return marks
        label = self[key].to(marks.dtype)
        if label.shape != marks.shape or not bool(((label == marks) | (marks == self.ignore_index)).all()):
            raise ValueError(
                f"PseudoLabeler.get: marks must be those of {key!r} as update got them, of shape {tuple(label.shape)}, "
                f"got others of shape {tuple(marks.shape)}: pass them whole, before augmentation"
            )
        return label

    def loss(self, logits: Tensor, target: Tensor, image: Tensor) -> Tensor:
        """The loss to train with: :func:`~closedform_wsss.functional.mark_loss` on the marks before the first round,
        then the cross-entropy on the labels, with :attr:`class_weight`.

        It has neither a loss for absent classes nor the dense CRF: the labels are no better with them, and with the
        dense CRF an early mistake may stay in them.

        Args:
            logits: ``(N, C, H, W)``, differentiable, with C = ``num_classes``.
            target: ``(N, H', W')`` marks or labels, as of :meth:`get`, after augmentation; ``ignore_index`` where
                there is none, as in a padded border.
            image: ``(N, D, H'', W'')`` in [0, 1] or uint8, not normalised.

        Returns:
            A scalar.

        Raises:
            TypeError, ValueError: As :func:`~closedform_wsss.functional.mark_loss`.
        """
        fn = "PseudoLabeler.loss"
        # Before the first round too, not hours later.
        check_num_classes(fn, check_maps(fn, "logits", logits, None, None), self.num_classes)
        if not self.round:
            return mark_loss(logits, target, image, crf_weight=0, ignore_index=self.ignore_index)
        return label_loss(fn, logits, target, self.class_weight, self.ignore_index)

    def __contains__(self, key: str) -> bool:
        return label_file(self.folder, key).exists()

    def __getitem__(self, key: str) -> Tensor:
        """The label of a sample, uint8 ``(H, W)``, of the size of its marks; ``ignore_index`` where it is ambiguous.

        Raises:
            KeyError: No label of this name was made.
        """
        if key not in self:
            raise KeyError(
                f"PseudoLabeler: {self.folder} holds no label of {key!r}: call update with this sample first"
            )
        return read_label_png(label_file(self.folder, key), palette="index").byte()

    @torch.no_grad()
    def update(self, predict: Callable[[Tensor], Any], samples: Iterable[Sample]) -> Report:
        """Make the labels of all samples anew, and remove those of other samples.

        Args:
            predict: ``(1, D, H, W)`` in [0, 1] -> logits ``(1, C, h, w)`` of any size, a dictionary with "out" or
                "logits", or an object with ``logits``. A module is put into evaluation mode and back. Normalisation
                belongs in here; the image comes on the CPU or wherever the samples are.
            samples: (key, image, marks) of every training image, read once, without augmentation: a name, ``(D, H, W)``
                in [0, 1] or uint8, and ``(H', W')`` integer marks. Any sizes.

        Returns:
            A :class:`Report`: fractions of the classes in marks, predictions and labels.

        Raises:
            TypeError, ValueError: There is no sample, none has a mark, a key comes twice, a sample is not what is said
                above, or predict does not give C channels of finite values. The message names the sample. Or another
                training has made labels in the folder.

        Warns:
            UserWarning: A class has collapsed: it has marks, but hardly any labels. Or every pixel is marked.
        """
        if not callable(predict):
            raise TypeError(f"{FN}: predict must be a module or a function of an image, got {type(predict).__name__}")
        with evaluation_mode(predict):
            return self._make_round(self._predicted(predict, samples))

    @torch.no_grad()
    def update_from(self, samples: Iterable[tuple[str, Tensor, Tensor, Tensor]]) -> Report:
        """:meth:`update` with predictions that were made elsewhere, such as by a program that writes them to files.

        Args:
            samples: (key, image, marks, probs) of every training image: as in :meth:`update`, and ``(C, h, w)`` in
                [0, 1] of any size, adding up to 1 over the classes.

        Returns:
            A :class:`Report`: fractions of the classes in marks, predictions and labels.

        Raises:
            TypeError, ValueError: As :meth:`update`.

        Warns:
            UserWarning: As :meth:`update`.
        """
        return self._make_round(self._given(samples))

    def _check_state(self) -> None:
        """The folder holds what this training has put there. Two that share it would learn from each other's labels."""
        if not is_first():  # on a disk of several machines the others may see late what the first rank has written
            return
        file = state_file(self.folder)
        found = read_state(file)[0] if file.exists() else 0
        if found != self.round:
            raise ValueError(
                f"PseudoLabeler: {self.folder} must hold round {self.round}, the last one of this training, got "
                f"{found}: if another training uses this folder, pass each its own"
            )

    def _make_round(self, samples: Iterable[Predicted]) -> Report:
        self._check_state()
        number = (self.round if self._rounds_before is None else self._rounds_before) + 1
        report = LabelRound(self.folder, self.recipe, self.num_classes, self.ignore_index, number).make(samples)
        self.round, self._rounds_before, self._fractions = number, None, report.labels
        return report

    def _predicted(self, predict: Callable[[Tensor], Any], samples: Iterable[Sample]) -> Iterator[Predicted]:
        for sample in each_of(FN, samples):
            key, image, marks = parts_of(FN, sample, ("key", "image", "marks"))
            fn = f"{FN}, sample {key!r}"
            pixels, target = check_sample(fn, image, marks, self.num_classes, self.ignore_index)
            scales = prediction_scales(self.recipe.prediction_scales, target, self.num_classes, self.ignore_index)
            yield key, pixels, target, probabilities(fn, predict, pixels, self.num_classes, scales, self.recipe.flip)

    def _given(self, samples: Iterable[tuple[str, Tensor, Tensor, Tensor]]) -> Iterator[Predicted]:
        for sample in each_of(FN, samples):
            key, image, marks, probs = parts_of(FN, sample, ("key", "image", "marks", "probs"))
            fn = f"{FN}, sample {key!r}"
            pixels, target = check_sample(fn, image, marks, self.num_classes, self.ignore_index)
            yield key, pixels, target, check_probabilities(fn, probs, self.num_classes)
