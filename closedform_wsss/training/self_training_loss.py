"""Self-training in each step: the labels come from the network's own predictions of the step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from closedform_wsss._checks import (
    check_class_present,
    check_count,
    check_finite,
    check_image,
    check_integer,
    check_logits,
    check_maps,
    check_num_classes,
    check_same_view,
    check_target,
    compute_dtype,
)
from closedform_wsss._resize import resize_image, resize_marks, resize_probabilities, scaled_size
from closedform_wsss._warn import warn_user
from closedform_wsss.functional.mark_loss import mark_loss
from closedform_wsss.functional.refine_prediction import restricted
from closedform_wsss.training.area_correction import LARGEST_FACTOR, TRACE, correct_areas, picked_pixels
from closedform_wsss.training.class_balance import class_weights, winning_fractions
from closedform_wsss.training.filtering import filtered
from closedform_wsss.training.label_loss import label_loss
from closedform_wsss.training.mark_counts import count_marks, warn_of_marks_everywhere
from closedform_wsss.training.ranks import gathered, mean_of_ranks, total, world
from closedform_wsss.training.recipe import Recipe, check_recipe
from closedform_wsss.training.resolution import filter_sides

FN = "SelfTrainingLoss"
# The mean predictions follow the network: each step has this part in them.
FOLLOW = 0.03
# A round waits for predictions of enough images, but not longer than this part of the training.
LONGEST_WAIT = 1 / 12


class SelfTrainingLoss(nn.Module):
    r"""Self-training as a loss: :class:`PseudoLabeler` without files, rounds over the data and a second pass.

    For the first third of the training it is :func:`~closedform_wsss.functional.mark_loss` without its dense CRF. From
    then on, the softmax p of a step becomes the labels of the same step: classes that are absent are removed, p is
    multiplied by factors of the classes, the :func:`matting filter <closedform_wsss.functional.refine_prediction>`
    aligns it with the image and keeps the marks, and the winning class at each pixel is the label. The loss is the
    cross-entropy on these labels, with :func:`class_weights`. The factors are made from the predictions of some steps,
    as in :class:`PseudoLabeler`, at a third and at a half of the training. Until they are made, the predictions of
    about ``num_images`` images stay in memory.

    The loss counts its calls, so it must be called once in each step of the training, in training mode. In evaluation
    mode (``criterion.eval()``) it is the cross-entropy on the marks, or on labels, and counts nothing. Its
    ``state_dict`` holds what a resumed training needs. (If it was saved while a round collects predictions, the round
    collects them anew.) Under ``torch.distributed`` all ranks make the factors together, so they must call it equally
    often, as with a ``DistributedSampler``.

    Args:
        num_classes: C >= 2.
        total_steps: Calls in the whole training: epochs times batches in an epoch.
        recipe: The settings. Default :class:`Recipe()`.
        ignore_index: Label of unmarked pixels, outside [0, C). Default 255.

    Shape:
        logits ``(N, C, H, W)``, marks ``(N, H', W')``, image ``(N, D, H'', W'')`` in [0, 1] or uint8, class_present
        ``(N, C)`` or None -> a scalar. Marks and image follow the size of the logits, as in
        :func:`~closedform_wsss.functional.closed_form_loss`. class_present holds the classes of each whole image, as in
        :func:`~closedform_wsss.functional.mark_loss`: pass it where the marks are complete.

    Raises:
        TypeError, ValueError: When it is made: an option is out of range. When it is called: what
            :func:`~closedform_wsss.functional.closed_form_loss` raises; gradients are off in training mode. When a
            state is loaded: it is of other steps or rounds.
        RuntimeError: A state of other classes is loaded; it is called inside ``DataParallel``, where no step counts.

    Warns:
        UserWarning: It is called more often than ``total_steps``; or, when it makes the factors, no pixel of their
            images is marked, or every pixel.

    Example:
        >>> import torch
        >>> from closedform_wsss.training import SelfTrainingLoss
        >>> criterion = SelfTrainingLoss(num_classes=3, total_steps=6)
        >>> marks = torch.full((2, 32, 32), 255)
        >>> marks[:, 4, 4:28], marks[:, 27, 4:28] = 0, 2
        >>> image, logits = torch.rand(2, 3, 32, 32), torch.randn(2, 3, 32, 32, requires_grad=True)
        >>> for step in range(6):
        ...     criterion(logits, marks, image).backward()
        >>> criterion.rounds_done
        2
    """

    class_factors: Tensor
    fractions: Tensor
    mean_probs: Tensor

    def __init__(
        self, num_classes: int, total_steps: int, recipe: Recipe | None = None, *, ignore_index: int = 255
    ) -> None:
        super().__init__()
        self.num_classes = check_count(FN, "num_classes", num_classes, 2)
        self.total_steps = check_count(FN, "total_steps", total_steps, 1)
        self.recipe = check_recipe(FN, recipe)
        self.ignore_index = check_integer(FN, "ignore_index", ignore_index)
        if 0 <= ignore_index < num_classes:
            raise ValueError(f"{FN}: ignore_index must not be a class, got {ignore_index} with {num_classes} classes")
        self.register_buffer("class_factors", torch.ones(num_classes))
        self.register_buffer("fractions", torch.full((num_classes,), 1 / num_classes))
        self.register_buffer("mean_probs", torch.full((num_classes,), 1 / num_classes))
        # On the host: reading them from the device would wait for it in each step.
        self.steps_done = self.rounds_done = 0
        self._side = 1
        self._collected: list[tuple[Tensor, Tensor, Tensor]] = []

    def extra_repr(self) -> str:
        return f"num_classes={self.num_classes}, total_steps={self.total_steps}, {self.recipe}"

    def get_extra_state(self) -> dict[str, Any]:
        return {
            "steps_done": self.steps_done,
            "rounds_done": self.rounds_done,
            "side": self._side,
            "total_steps": self.total_steps,
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        if state["total_steps"] != self.total_steps:
            raise ValueError(
                f"{FN}: the state is of a training of {state['total_steps']} steps, got total_steps {self.total_steps}"
            )
        if state["rounds_done"] > len(self.recipe.rounds):
            raise ValueError(
                f"{FN}: the state is of a recipe with at least {state['rounds_done']} rounds, got {self.recipe.rounds}"
            )
        self.steps_done, self.rounds_done, self._side = state["steps_done"], state["rounds_done"], state["side"]
        self._collected = []

    def forward(self, logits: Tensor, marks: Tensor, image: Tensor, class_present: Tensor | None = None) -> Tensor:
        image = check_image(FN, image)
        n, device = image.shape[0], image.device
        logits = check_maps(FN, "logits", logits, n, device)
        check_logits(FN, logits)
        check_num_classes(FN, logits, self.num_classes)
        marks = check_target(FN, marks, n, device, self.num_classes, self.ignore_index, name="marks")
        check_finite(FN, "logits", logits)
        check_same_view(FN, marks=marks, image=image, logits=logits)
        h, w = logits.shape[2:]
        marks = resize_marks(marks, (h, w), self.num_classes, self.ignore_index)
        x = logits.to(compute_dtype(logits))
        if not self.training:
            return label_loss(FN, x, marks, None, self.ignore_index)
        if not torch.is_grad_enabled():
            raise ValueError(f"{FN}: gradients are off in training mode: call criterion.eval() before validation")
        if getattr(self, "_is_replica", False):  # of torch: what such a copy counts is lost after the step
            raise RuntimeError(
                f"{FN}: must be called once in each step, got a copy that DataParallel made for a device: call it on "
                "the logits that DataParallel returns, or use DistributedDataParallel"
            )
        if class_present is not None:
            check_class_present(FN, class_present, n, self.num_classes, device)
        if self.steps_done == self.total_steps:
            warn_user(f"{FN}: called more often than total_steps {self.total_steps}: count all epochs", UserWarning)
        if x.numel() == 0:
            if world() > 1:  # the others would wait for the predictions of this one
                raise ValueError(f"{FN}: logits must hold at least one image in each of several processes, got none")
            self.steps_done += 1
            return x.sum()
        image = resize_image(image.to(x.dtype), (h, w)).clamp(0, 1)
        self._prepare_round(x, marks, image, class_present)
        self.steps_done += 1
        if not self.rounds_done:
            options: dict[str, Any] = {"crf_weight": 0, "ignore_index": self.ignore_index}
            return mark_loss(logits, marks, image, class_present=class_present, **options)
        weight = class_weights(self.fractions, power=self.recipe.balance)
        return label_loss(FN, x, self._labels(x, marks, image, class_present), weight, self.ignore_index)

    @torch.no_grad()
    def _prepare_round(self, x: Tensor, marks: Tensor, image: Tensor, class_present: Tensor | None) -> None:
        """Collect predictions when a round is due; with enough of them, make the factors anew."""
        rounds = self.recipe.rounds
        if self.rounds_done == len(rounds):
            return
        since = self.steps_done - max(int(self.total_steps * rounds[self.rounds_done]), 1)
        if since < 0:
            return
        if not self.rounds_done and not self._collected:
            self._choose_side(marks)
        # A copy: the next step may write its marks into the same memory.
        self._collected.append((*self._small(x, image, class_present), marks.clone()))
        # Of all ranks, whose batches may differ: they must make the factors in the same step.
        images = int(total(torch.tensor(sum(len(p) for p, _, _ in self._collected), device="cpu")))
        if images >= self.recipe.num_images or since + 1 >= self.total_steps * LONGEST_WAIT:
            self._correct_areas()

    def _choose_side(self, marks: Tensor) -> None:
        """The filter works on squares of the median side of these images. Waits for the device, once in a training."""
        sides = torch.cat(gathered(filter_sides(marks, self.num_classes, self.ignore_index)))
        self._side = int(sides.median())

    def _small(self, x: Tensor, image: Tensor, class_present: Tensor | None) -> tuple[Tensor, Tensor]:
        """Probabilities and image at the size of the filter."""
        h, w = x.shape[2:]
        size = scaled_size((h, w), 1 / self._side if self.recipe.filter_scale is None else self.recipe.filter_scale)
        p = resize_probabilities(x.softmax(1), size)
        if class_present is not None:
            p = restricted(p, class_present)
        return p.clamp(0, 1), resize_image(image, size).clamp(0, 1)

    def _refined(self, p: Tensor, image: Tensor, marks: Tensor, factors: Tensor) -> Tensor:
        return filtered(self.recipe, p, image, marks, factors, self.ignore_index)

    def _check_marks(self) -> None:
        """Marks that are all missing, or on every pixel, are hardly meant."""
        targets = [marks for _, _, marks in self._collected]
        marked = total(torch.stack([count_marks(x, self.num_classes, self.ignore_index) for x in targets]).sum(0))
        pixels = total(torch.tensor(sum(x.numel() for x in targets), dtype=torch.float64, device="cpu"))
        if not marked.any():
            warn_user(
                f"{FN}: marks are {self.ignore_index}, which is ignore_index, at every pixel of all images of round "
                f"{self.rounds_done + 1}, so the labels are made of the predictions alone: check the folder and the "
                "values of the marks",
                UserWarning,
            )
        warn_of_marks_everywhere(FN, marked, pixels, self.ignore_index)

    def _correct_areas(self) -> None:
        self._check_marks()
        images = ((p, marks) for p, _, marks in self._collected)
        probs, at_marks = picked_pixels(images, self.num_classes, self.ignore_index, self.recipe.num_pixels)

        def refined(factors: Tensor) -> Iterator[Tensor]:
            return (self._refined(p, image, marks, factors) for p, image, marks in self._collected)

        factors = correct_areas(refined, probs, at_marks, self.recipe.repeats)
        won = total(torch.stack([winning_fractions(q).double() * len(q) for q in refined(factors)]).sum(0))
        self.class_factors, self.fractions = factors.float(), (won / won.sum()).float()
        self.mean_probs = probs.mean(1).float()
        self._collected = []
        self.rounds_done += 1

    def _follow(self, p: Tensor) -> None:
        """The factors were made for the predictions of a round. They go back as the network learns the areas: without
        this a class that a factor makes larger would grow in each step, and the others disappear."""
        # In half precision, to which a model that holds this loss may be cast, such small steps would be rounded away.
        before, factors = self.mean_probs.float(), self.class_factors.float()
        self.mean_probs = before.lerp(mean_of_ranks(p.mean((0, 2, 3)).to(before)), FOLLOW)
        change = before.clamp_min(TRACE) / self.mean_probs.clamp_min(TRACE)
        self.class_factors = (factors * change).clamp(1 / LARGEST_FACTOR, LARGEST_FACTOR)

    @torch.no_grad()
    def _labels(self, x: Tensor, marks: Tensor, image: Tensor, class_present: Tensor | None) -> Tensor:
        p, image = self._small(x, image, class_present)
        self._follow(p)
        q = self._refined(p, image, marks, self.class_factors.to(p))
        labels = F.interpolate(q, x.shape[2:], mode="bilinear").max(1).indices
        return torch.where(marks == self.ignore_index, labels, marks)
