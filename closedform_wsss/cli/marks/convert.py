"""Writes the label map of each image."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from closedform_wsss.cli.common.caught_warnings import caught_warnings
from closedform_wsss.cli.common.failures import Failures, reason_of
from closedform_wsss.cli.common.progress import note, progress_bar
from closedform_wsss.cli.common.sheet import Panel
from closedform_wsss.cli.marks.images import Images, without_suffix
from closedform_wsss.cli.marks.sources import Entry, Source
from closedform_wsss.cli.marks.totals import Totals
from closedform_wsss.io import write_label_png
from closedform_wsss.io._files.record import remove_leftovers


@dataclass
class Done:
    """What a run has done.

    Attributes:
        totals: The counts.
        panels: The images with marks.
        missing: Names of images that are not in the folder of images.
        sizeless: Names of images without marks whose size nobody knows.
        failed: The number of images that could not be read.
        written: The name of the image of each label map.
    """

    totals: Totals = field(default_factory=Totals)
    panels: list[Panel] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    sizeless: list[str] = field(default_factory=list)
    failed: int = 0
    written: dict[str, str] = field(default_factory=dict)


def convert(source: Source, images: Images, folder: Path, *, shown: bool) -> Done:
    """Writes label maps into a folder. A line on stderr names each image that fails.

    Args:
        source: The marks.
        images: The images that they belong to.
        folder: An existing folder.
        shown: Whether to show a progress bar.

    Raises:
        ValueError: See ``Failures``.
    """
    done, failures = Done(), Failures(len(source.entries))
    with failures, progress_bar(shown=shown, total=len(source.entries), unit=" images") as bar:
        for entry in source.entries:
            with caught_warnings() as warned:
                try:
                    _convert(entry, images, folder, done)
                except Exception as error:
                    failures.add(entry.name, reason_of(error))
                else:
                    failures.flush()
            for text in warned:
                note(f"{entry.name}: warning: {text}")
            bar.update()
    done.failed = failures.count
    _remove_leftovers(folder, done)
    return done


def _remove_leftovers(folder: Path, done: Done) -> None:
    """What a killed run left beside the label maps."""
    names: dict[Path, set[str]] = {}
    for name in done.written:
        names.setdefault((folder / name).parent, set()).add(Path(name).name)
    for parent, own in names.items():
        remove_leftovers(parent, own)


def _convert(entry: Entry, images: Images, folder: Path, done: Done) -> None:
    image = images.find(entry.name)
    size = None if image is None else images.size(image)
    if image is None:
        done.missing.append(entry.name)
        if entry.size is None and entry.is_empty:
            done.sizeless.append(entry.name)
            return
    marks = entry.read(image, size)
    shown = entry.name if image is None else images.name(image)
    name = f"{without_suffix(shown)}.png"
    if name in done.written:
        raise ValueError(f"images must have different names apart from the suffix, got {done.written[name]} too")
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    write_label_png(target, marks)
    done.written[name] = shown
    if done.totals.add(entry.name, marks.numpy()):
        done.panels.append(Panel(shown, image, target))
