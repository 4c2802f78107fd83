"""What ``refine-cams`` does for one image, and the files that it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from closedform_wsss import io
from closedform_wsss.cams.cues import read_cue
from closedform_wsss.cams.refined import RefineOptions, check_classes, refined_maps, write_results
from closedform_wsss.cams.values import check_upright
from closedform_wsss.cli.common.caught_warnings import caught_warnings
from closedform_wsss.cli.common.tags import Tags
from closedform_wsss.io._maps.cams import load_cam


@dataclass(frozen=True)
class ReadOptions:
    """How images are read; see ``read_image``."""

    orientation: str | None
    window: tuple[float, float] | None


@dataclass(frozen=True)
class RefineJob:
    """One image. An output is None if it is not wanted. ``classes`` are its tags, if they are known; see ``Tags``."""

    image: Path
    cam: Path
    cues: Mapping[str, Path]
    classes: tuple[int, ...] | None
    all_classes: tuple[int, ...]
    cam_output: Path | None
    label_output: Path | None

    @property
    def inputs(self) -> tuple[Path, ...]:
        """The files to read."""
        return self.image, self.cam, *self.cues.values()

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write."""
        return tuple(path for path in (self.cam_output, self.label_output) if path is not None)


def plan_job(
    stem: str,
    image: Path,
    cam: Path,
    cues: Mapping[str, Path],
    tags: Tags,
    output: Path,
    kinds: tuple[str, ...],
    format: str | None,
) -> RefineJob:
    """The job of an image: it writes ``cams/<stem>`` with the suffix of the format, and ``labels/<stem>.png``.

    Without a format, that of the input is written; npz in place of a file of torch.
    """
    is_npz = cam.suffix.lower() != ".npy" if format is None else format == "npz"
    suffix = ".npz" if is_npz else ".npy"
    return RefineJob(
        image,
        cam,
        cues,
        tags.of(stem),
        tags.all_classes,
        output / "cams" / f"{stem}{suffix}" if "cams" in kinds else None,
        output / "labels" / f"{stem}.png" if "labels" in kinds else None,
    )


def refine_image(options: RefineOptions, reading: ReadOptions, job: RefineJob) -> list[str]:
    """Reads, refines, writes, and returns the warnings that occurred.

    Raises:
        OSError: A file cannot be read or written.
        ValueError: A file is damaged, or image and CAM do not go together.
    """
    with caught_warnings() as warned:
        image = io.read_image(job.image, orientation=reading.orientation, window=reading.window)
        cues = {cue: read_cue(cue, path, orientation=reading.orientation or "apply") for cue, path in job.cues.items()}
    format, classes, maps = load_cam(job.cam, job.classes, job.all_classes)
    check_upright(maps, image.shape[1], image.shape[2], image=job.image)
    if job.label_output is not None:
        check_classes(classes)
    with caught_warnings() as warned_of_method:
        refined = refined_maps(options, image, maps, cues)
    if job.cam_output is not None and job.cam_output.suffix == ".npz":
        format = "npz"
    write_results(options, classes, refined, job.cam_output, job.label_output, options.format or format)
    return [*warned, *warned_of_method]
