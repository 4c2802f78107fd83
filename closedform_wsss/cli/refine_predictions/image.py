"""What ``refine-predictions`` does for one image, and the files that it writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from closedform_wsss import io
from closedform_wsss.cams.values import check_upright
from closedform_wsss.cli.common.caught_warnings import caught_warnings
from closedform_wsss.cli.common.probability_files import read_class_marks
from closedform_wsss.cli.refine_predictions.methods import METHODS


@dataclass(frozen=True)
class RefineOptions:
    """The options that decide what is in the files."""

    method: str
    scale: float
    fidelity: float
    logits: bool
    margin: float
    unmarked: int | None
    orientation: str | None
    window: tuple[float, float] | None


@dataclass(frozen=True)
class RefineJob:
    """One image. An output is None if it is not wanted."""

    image: Path
    probabilities: Path
    marks: Path | None
    label_output: Path | None
    probability_output: Path | None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files to read."""
        return tuple(path for path in (self.image, self.probabilities, self.marks) if path is not None)

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write."""
        return tuple(path for path in (self.label_output, self.probability_output) if path is not None)


def refine_image(options: RefineOptions, job: RefineJob) -> list[str]:
    """Reads, refines, writes, and returns the warnings that occurred.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: A file is damaged, or image, probabilities and marks do not go together.
    """
    with caught_warnings() as warned:
        image = io.read_image(job.image, orientation=options.orientation, window=options.window)
        probs = io.read_probabilities(job.probabilities, logits=options.logits)
        size = (image.shape[1], image.shape[2])
        check_upright(probs, *size, what="probabilities", image=job.image)
        marks = None
        if job.marks is not None:
            marks = read_class_marks(job.marks, options.unmarked, len(probs), size, options.orientation)[None]
    with caught_warnings() as warned_of_method, torch.no_grad():
        refined = METHODS[options.method](probs[None], image[None], marks, options.scale, options.fidelity)[0]
    if job.probability_output is not None:
        io.write_probabilities(job.probability_output, refined)
    if job.label_output is not None:
        best, label = refined.topk(2, 0)
        certain = best[0] - best[1] >= options.margin
        io.write_label_png(job.label_output, torch.where(certain, label[0], io.IGNORE_INDEX))
    return [*warned, *warned_of_method]
