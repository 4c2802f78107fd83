"""Self-training in rounds for the Trainer of Hugging Face."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from closedform_wsss.training.callback import Predict, Rounds
from closedform_wsss.training.pseudo_labeler import PseudoLabeler
from closedform_wsss.training.sample import Sample


class PseudoLabelCallback(TrainerCallback):
    """Makes the labels of a :class:`~closedform_wsss.training.PseudoLabeler` at the start of its epochs.

    The data set reads them: ``labeler.get(key, marks)`` is the label, or the marks before the first round. The training
    must be given in epochs (``num_train_epochs``), not in steps.

    Args:
        labeler: The labeler.
        samples: (key, image, marks) of all training images, without augmentation: a sequence, a map-style data set, or
            an iterable that can be read again. Of the first two, each process takes its own part.
        predict: (model, image ``(1, D, H, W)`` in [0, 1]) -> logits ``(1, C, h, w)``, or the model's output.
            The image has the device and the dtype of the model. Normalisation belongs in here. Default
            ``model(image)``.

    Attributes:
        report: The :class:`~closedform_wsss.training.Report` of the last round, or None.

    Example::

        labeler = PseudoLabeler("runs/labels", num_classes=11)
        callback = PseudoLabelCallback(labeler, samples, lambda model, image: model(pixel_values=normalize(image)))
        Trainer(model, TrainingArguments("runs", num_train_epochs=12), train_dataset=data, callbacks=[callback]).train()
    """

    def __init__(self, labeler: PseudoLabeler, samples: Iterable[Sample], predict: Predict | None = None) -> None:
        self._rounds = Rounds(labeler, samples, predict)
        self._epoch = 0  # that begins next

    @property
    def report(self) -> Any:
        return self._rounds.report

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if args.max_steps > 0:
            raise ValueError(
                f"PseudoLabelCallback: the training must be given by num_train_epochs, got max_steps {args.max_steps}: "
                "labels are made before epochs"
            )
        # As the Trainer counts them. state.epoch is that of the last step: within an epoch after a resumption, and at
        # its end too where the last batches are too few for a step.
        steps = max(int(state.max_steps / args.num_train_epochs + 1e-6), 1)
        self._epoch = state.global_step // steps

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **parts: Any
    ) -> None:
        self._rounds.start_epoch(self._epoch, math.ceil(args.num_train_epochs), parts["model"])
        self._epoch += 1

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._rounds.end()
