"""What ``refine-cams`` does for one image, and the files that it writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from closedform_wsss import io
from closedform_wsss.cli.common.cam_values import check_upright, unit_range
from closedform_wsss.cli.common.caught_warnings import caught_warnings
from closedform_wsss.cli.refine_cams.methods import REFINERS
from closedform_wsss.functional import pseudo_labels
from closedform_wsss.io._cams import load_cam, write_cam

_LARGEST_LABEL = 254  # 255 is void in a label map


@dataclass(frozen=True)
class RefineOptions:
    """The options that decide what is in the files."""

    method: str
    normalize: bool
    format: str | None  # None: that of the input
    threshold: float | None
    power: float | None
    margin: float
    orientation: str | None
    window: tuple[float, float] | None


@dataclass(frozen=True)
class RefineJob:
    """One image. An output is None if it is not wanted."""

    image: Path
    cam: Path
    cam_output: Path | None
    label_output: Path | None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write."""
        return tuple(path for path in (self.cam_output, self.label_output) if path is not None)


def plan_job(image: Path, cam: Path, output: Path, kinds: tuple[str, ...], format: str | None) -> RefineJob:
    """The job of an image: it writes ``cams/<stem>`` with the suffix of the format, and ``labels/<stem>.png``."""
    name = cam.name if format is None else f"{cam.stem}{'.npz' if format == 'npz' else '.npy'}"
    return RefineJob(
        image,
        cam,
        output / "cams" / name if "cams" in kinds else None,
        output / "labels" / f"{cam.stem}.png" if "labels" in kinds else None,
    )


def refine_image(options: RefineOptions, job: RefineJob) -> list[str]:
    """Reads, refines, writes, and returns the warnings that occurred.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: A file is damaged, or image and CAM do not go together.
    """
    with caught_warnings() as warned:
        image = io.read_image(job.image, orientation=options.orientation, window=options.window)
    height, width = image.shape[1:]
    format, classes, maps = load_cam(job.cam)
    check_upright(maps, height, width)
    if job.label_output is not None and len(classes) and classes.max() > _LARGEST_LABEL:
        raise ValueError(f"classes must be up to {_LARGEST_LABEL} in a label map, got {classes.max()}")
    maps = unit_range(maps, normalize=options.normalize)
    with caught_warnings() as warned_of_method, torch.no_grad():
        refined = _refine(options.method, image, maps)
    if job.cam_output is not None:
        write_cam(job.cam_output, classes, refined[0], format=options.format or format)
    if job.label_output is not None:
        winner = pseudo_labels(
            refined, threshold=options.threshold, power=options.power, margin=options.margin, classes=classes.tolist()
        )
        io.write_label_png(job.label_output, winner[0])
    return [*warned, *warned_of_method]


def _refine(method: str, image: Tensor, maps: Tensor) -> Tensor:
    height, width = image.shape[1:]
    if len(maps) == 0:
        return torch.zeros(1, 0, height, width)
    refined = REFINERS[method](image[None], maps[None])
    return refined.float().clamp(0, 1)
