"""What the callbacks for other people's trainers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from torch import Tensor, nn

from closedform_wsss._warn import warn_user
from closedform_wsss.training.evaluation_mode import evaluation_mode
from closedform_wsss.training.pseudo_labeler import PseudoLabeler
from closedform_wsss.training.ranks import rank, world
from closedform_wsss.training.recipe import Report
from closedform_wsss.training.sample import Sample

Predict = Callable[[Any, Tensor], Any]


class Rounds:
    """Makes labels before the epochs at which the labeler wants them.

    Args:
        labeler: Where the labels go.
        samples: (key, image, marks) of all training images, without augmentation: a sequence, a map-style data set, or
            an iterable that can be read again. Of the first two, each process takes its own part; an iterable must give
            each process its own.
        predict: (model, ``(1, D, H, W)`` in [0, 1]) -> logits, a dictionary with "out", or an object with ``logits``.
            The image has the device and the dtype of the model. Normalisation belongs in here. Default
            ``model(image)``.
    """

    def __init__(self, labeler: PseudoLabeler, samples: Iterable[Sample], predict: Predict | None = None) -> None:
        if isinstance(samples, Iterator) and len(labeler.recipe.rounds) > 1:
            raise TypeError(
                f"PseudoLabelCallback: samples must be an iterable that can be read again in each round, got a "
                f"{type(samples).__name__}: pass a list, a data set, or an object whose __iter__ makes it anew"
            )
        self.labeler, self.samples = labeler, samples
        self.predict: Predict = predict or (lambda model, image: model(image))
        self.report: Report | None = None

    def start_epoch(self, epoch: int, epochs: int, model: nn.Module) -> None:
        if not self.labeler.due(epoch, epochs):
            return
        # A model may be in half precision as a whole, such as in Lightning with bf16-true. None computes in 8 bits.
        like = next((p for p in model.parameters() if p.is_floating_point() and p.dtype.itemsize > 1), None)

        def predict(image: Tensor) -> Any:
            return self.predict(model, image if like is None else image.to(like))

        with evaluation_mode(model):
            self.report = self.labeler.update(predict, self._own_samples())

    def end(self) -> None:
        if self.labeler.round == 0:
            warn_user("PseudoLabeler: no round was due in this training: it needs 2 epochs or more", UserWarning)

    def _own_samples(self) -> Iterator[Sample]:
        samples: Any = self.samples
        if not (hasattr(samples, "__getitem__") and hasattr(samples, "__len__")):
            return iter(samples)
        return (samples[index] for index in range(rank(), len(samples), world()))
