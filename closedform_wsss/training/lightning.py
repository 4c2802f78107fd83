"""Self-training in rounds for Lightning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import lightning

from closedform_wsss.training.callback import Predict, Rounds
from closedform_wsss.training.pseudo_labeler import PseudoLabeler
from closedform_wsss.training.sample import Sample


class PseudoLabelCallback(lightning.Callback):
    """Makes the labels of a :class:`~closedform_wsss.training.PseudoLabeler` at the start of its epochs.

    The data set reads them: ``labeler.get(key, marks)`` is the label, or the marks before the first round.

    Args:
        labeler: The labeler.
        samples: (key, image, marks) of all training images, without augmentation: a sequence, a map-style data set, or
            an iterable that can be read again. Of the first two, each process takes its own part.
        predict: (module, image ``(1, D, H, W)`` in [0, 1]) -> logits ``(1, C, h, w)``, a dictionary with "out", or an
            object with ``logits``. The image has the device and the dtype of the module. Normalisation belongs in here.
            Default ``module(image)``.

    Attributes:
        report: The :class:`~closedform_wsss.training.Report` of the last round, or None.

    Example::

        labeler = PseudoLabeler("runs/labels", num_classes=11)
        callback = PseudoLabelCallback(labeler, samples, lambda module, image: module.model(normalize(image)))
        lightning.Trainer(max_epochs=12, callbacks=[callback]).fit(module, loader)
    """

    def __init__(self, labeler: PseudoLabeler, samples: Iterable[Sample], predict: Predict | None = None) -> None:
        self._rounds = Rounds(labeler, samples, predict)

    @property
    def report(self) -> Any:
        return self._rounds.report

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.max_epochs is None or trainer.max_epochs < 1:
            raise ValueError(
                f"PseudoLabelCallback: the Trainer must have max_epochs, got {trainer.max_epochs}: the rounds are at "
                "fractions of the training"
            )
        self._rounds.start_epoch(trainer.current_epoch, trainer.max_epochs, pl_module)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._rounds.end()
