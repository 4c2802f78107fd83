"""One round of pseudo-labels: from predictions, images and marks to label files."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import check_same_view
from closedform_wsss._mark_spacing import has_dots_alone
from closedform_wsss._resize import resize_image, resize_probabilities, scaled_size
from closedform_wsss._warn import warn_user
from closedform_wsss.functional.classes_present import classes_present
from closedform_wsss.functional.refine_prediction import restricted
from closedform_wsss.io import write_label_png
from closedform_wsss.io._files.result_names import ResultNames
from closedform_wsss.io._files.save import atomic
from closedform_wsss.training.area_correction import correct_areas, picked_pixels
from closedform_wsss.training.class_balance import winning_fractions
from closedform_wsss.training.filtering import filtered
from closedform_wsss.training.mark_counts import count_marks, warn_of_marks_everywhere
from closedform_wsss.training.ranks import gathered, rank, total, world
from closedform_wsss.training.recipe import Recipe, Report
from closedform_wsss.training.resolution import filter_sides
from closedform_wsss.training.sample import file_of, load, store

# A class has collapsed if its labels are less than this fraction of its predictions, and hardly more than its marks.
COLLAPSED, ONLY_MARKS = 0.05, 1.2
FN = "PseudoLabeler.update"

Predicted = tuple[str, Tensor, Tensor, Tensor]  # key, image, marks and probabilities, the last three of a batch of one


def label_file(folder: Path, key: str) -> Path:
    """Where the label of a sample lies."""
    return file_of(folder / "labels", key, ".png")


def state_file(folder: Path) -> Path:
    """Number of the round and fractions of its classes, beside its labels."""
    return folder / "labels" / "state.json"


def read_state(file: Path) -> tuple[int, list[float]]:
    """Number of the round and fractions of its classes.

    Raises:
        ValueError: The file is damaged, or of another program.
    """
    try:
        state = json.loads(file.read_bytes())
        return int(state["round"]), [float(part) for part in state["fractions"]]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"PseudoLabeler: {file} must be the state of a PseudoLabeler, got {type(error).__name__}: {error}: pass "
            "another folder"
        ) from error


def _work(folder: Path) -> Path:
    """Of a round, until it is over. All in it may be deleted, so its name is one that nobody gives to folders of theirs
    beside the labels."""
    return folder / ".round"


def finish_cut_round(folder: Path) -> None:
    """Puts the labels of a whole round into their place, if those before them were moved away: a process may be killed
    in between. Several ranks may call this at once."""
    new = _work(folder) / "new"
    if not (folder / "labels").exists() and (new / state_file(folder).name).exists():  # the state is written last
        with contextlib.suppress(FileNotFoundError):  # another rank was first
            new.rename(folder / "labels")


@dataclass(frozen=True)
class LabelRound:
    """Makes the labels of all samples of this rank.

    The samples are read once: what the steps need of them lies in files until the round is over. The labels lie in
    ``.round/new`` until all of them are made. Then they take the place of the earlier ones together with the state: a
    round that is cut leaves those as they were.

    Attributes:
        folder: Of the labels and these files.
        recipe, num_classes, ignore_index: As of :class:`PseudoLabeler`.
        number: Of this round, from 1.
    """

    folder: Path
    recipe: Recipe
    num_classes: int
    ignore_index: int
    number: int

    def make(self, samples: Iterable[Predicted]) -> Report:
        """Write the labels; the fractions of the classes are those of all ranks."""
        self._begin()
        try:
            report = self._make(samples)
        finally:
            shutil.rmtree(self._store, ignore_errors=True)
        self._finish(report)
        return report

    def _begin(self) -> None:
        """Remove what a round that was cut has left, also of ranks that are no more. Waits for all ranks."""
        if is_first():
            shutil.rmtree(_work(self.folder), ignore_errors=True)
        gathered(None)
        self._new.mkdir(parents=True, exist_ok=True)

    def _finish(self, report: Report) -> None:
        """Put the labels of all ranks into their place. Waits for all ranks."""
        if is_first():
            with atomic(self._new / state_file(self.folder).name) as stream:
                stream.write(json.dumps({"round": self.number, "fractions": report.labels.tolist()}).encode())
            labels = self.folder / "labels"
            if labels.exists():
                # To remove many files takes a while, in which there would be no labels.
                labels.rename(_work(self.folder) / "old")
            finish_cut_round(self.folder)
            shutil.rmtree(_work(self.folder), ignore_errors=True)
        gathered(None)

    def _make(self, samples: Iterable[Predicted]) -> Report:
        keys, marked, predicted, pixels = self._store_all(samples)
        marked, predicted, pixels = total(marked), total(predicted), total(pixels)
        self._check_marks(marked, pixels)
        factors = self._class_factors(keys)
        won = torch.zeros(self.num_classes, dtype=torch.float64, device="cpu")
        ambiguous = torch.zeros((), dtype=torch.float64, device="cpu")
        for key in keys:
            q, marks = self._filtered(key, factors)
            won += winning_fractions(q).double()
            label = self._label(q, marks)
            ambiguous += (label == self.ignore_index).sum().cpu()
            self._save_label(key, label)
        in_marks, in_predictions, in_labels = (_fractions(counts) for counts in (marked, predicted, total(won)))
        only_marks = in_labels < ONLY_MARKS * marked / pixels
        few = (in_marks > 0) & (in_labels < COLLAPSED * in_predictions) & only_marks
        collapsed = few.nonzero().flatten().tolist()
        if collapsed:
            warn_user(
                f"{FN}: the classes {collapsed} have marks but hardly any labels after round "
                f"{self.number}: use fewer repeats in the recipe, or more marks",
                UserWarning,
            )
        left = float(total(ambiguous) / pixels)
        return Report(self.number, in_marks, in_predictions, in_labels, collapsed, left)

    def _check_marks(self, marked: Tensor, pixels: Tensor) -> None:
        """Samples or marks that are all missing, and marks on every pixel, are hardly meant."""
        if not pixels:
            raise ValueError(
                f"{FN}: samples must hold at least one sample, got none: a generator is empty once it was "
                "read, make it anew for each round"
            )
        if not marked.any():
            raise ValueError(
                f"{FN}: samples must hold marks, got {self.ignore_index}, which is ignore_index, at every pixel of "
                "every sample: check the folder and the values of the marks"
            )
        warn_of_marks_everywhere(FN, marked, pixels, self.ignore_index)

    def _store_all(self, samples: Iterable[Predicted]) -> tuple[list[str], Tensor, Tensor, Tensor]:
        """Store what the later steps need: keys, pixels of each class in the marks, fractions in the predictions,
        number of pixels."""
        marked, predicted = (torch.zeros(self.num_classes, dtype=torch.float64, device="cpu") for _ in range(2))
        pixels_seen = torch.zeros((), dtype=torch.float64, device="cpu")
        keys, names = [], ResultNames(f"{FN}: keys", (".npz", ".png"))
        for key, pixels, target, p in samples:
            file = self._store_file(key)
            names.add(key)
            keys.append(key)
            check_same_view(f"{FN}, sample {key!r}", prediction=p, image=pixels)
            scale = self.recipe.filter_scale
            if scale is None:
                scale = 1 / int(filter_sides(target, self.num_classes, self.ignore_index))
            size = scaled_size((target.shape[1], target.shape[2]), scale)
            p = resize_probabilities(p, size)
            predicted += winning_fractions(p).double()
            if self.recipe.complete_marks:
                p = restricted(p, classes_present(target, self.num_classes, ignore_index=self.ignore_index))
            marked += count_marks(target, self.num_classes, self.ignore_index)
            pixels_seen += target.numel()
            store(file, p, resize_image(pixels.cpu(), size).clamp(0, 1), target)
        return keys, marked, predicted, pixels_seen

    def _class_factors(self, keys: list[str]) -> Tensor:
        """Factors of the classes, ``(C,)``, from some images."""
        recipe = self.recipe
        some = keys[:: max(len(keys) * world() // recipe.num_images, 1)]
        stored = (load(self._store_file(key)) for key in some)
        images = ((p, marks) for p, _, marks in stored)
        picked = picked_pixels(images, self.num_classes, self.ignore_index, recipe.num_pixels)
        return correct_areas(lambda factors: (self._filtered(key, factors)[0] for key in some), *picked, recipe.repeats)

    def _filtered(self, key: str, factors: Tensor) -> tuple[Tensor, Tensor]:
        """Filtered probabilities and marks of a sample."""
        p, image, marks = load(self._store_file(key))
        return filtered(self.recipe, p.clamp(0, 1), image, marks, factors, self.ignore_index), marks

    def _label(self, q: Tensor, marks: Tensor) -> Tensor:
        """The winning class of q, of the size of the marks, which stay; ``ignore_index`` where it hardly wins."""
        q = F.interpolate(q, (marks.shape[1], marks.shape[2]), mode="bilinear", align_corners=False)
        label = q.max(1).indices
        if not has_dots_alone(marks, self.num_classes, self.ignore_index):
            first, second = q.topk(2, 1).values.unbind(1)
            label = torch.where(second > self.recipe.max_ambiguity * first, self.ignore_index, label)
        return torch.where(marks == self.ignore_index, label, marks)

    def _save_label(self, key: str, label: Tensor) -> None:
        file = file_of(self._new, key, ".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        write_label_png(file, label[0])

    @property
    def _new(self) -> Path:
        return _work(self.folder) / "new"

    @property
    def _store(self) -> Path:
        """Of this rank."""
        return _work(self.folder) / f"store-{rank()}"

    def _store_file(self, key: str) -> Path:
        return file_of(self._store, key, ".npz")


def is_first() -> bool:
    """Whether this rank does what one must do for all."""
    return rank() == 0


def _fractions(counts: Tensor) -> Tensor:
    return (counts / counts.sum().clamp_min(1)).float()
