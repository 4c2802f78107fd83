"""What the command says about its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from closedform_wsss._common import IGNORE_INDEX
from closedform_wsss.cli.marks.convert import Done
from closedform_wsss.cli.marks.images import Images
from closedform_wsss.cli.marks.sources import NAMES, Source
from closedform_wsss.cli.marks.totals import Totals
from closedform_wsss.io._annotations.classes import is_background

_SHOWN = 5
_NEARLY_ALL = 0.9  # of the pixels: no strokes of one class


def report(source: Source, done: Done) -> list[str]:
    """The lines for stdout: what was read, the classes, and images without marks."""
    numbers = f"; numbers of classes: {source.order}" if source.classes else ""
    lines = [f"{source.what}, {len(source.entries)} images{numbers}", *table(done.totals, source.classes)]
    unmarked = [name for name, number in source.classes.items() if number == IGNORE_INDEX]
    if unmarked:
        lines.append(f"left unmarked: {', '.join(unmarked)}")
    if source.left_out:
        each = [f"{count} of {name or 'no class'}" for name, count in sorted(source.left_out.items())]
        lines.append(f"left out: {sum(source.left_out.values())} rectangles ({listed(each)})")
    if done.totals.empty or done.sizeless:
        lines.append(f"without marks: {listed([*done.totals.empty, *done.sizeless])}")
    if done.missing and len(done.missing) < len(source.entries):
        lines.append(f"without image: {listed(done.missing)}")
    if done.failed:
        lines.append(f"failed: {done.failed} images")
    return [*lines, *_background_note(source.classes, done.totals)]


def _background_note(classes: Mapping[str, int], totals: Totals) -> list[str]:
    """What marks on objects alone do not teach; nothing if the background is marked, or every pixel is."""
    background = [number for name, number in classes.items() if is_background(name) and number != IGNORE_INDEX]
    if not classes or not totals.pixels[IGNORE_INDEX] or totals.pixels[background].any():
        return []
    what, cure = "no pixel is marked as background", "draw background too"
    if not background:
        first = "".join(f"class 0 is {name!r}; " for name, number in classes.items() if number == 0)
        what = f"{first}no class is called background"
        others = ",".join([name for name, number in classes.items() if number != IGNORE_INDEX][:_SHOWN])
        cure = f"{cure}, and put it first: --names background,{others}{',...' * (len(classes) > _SHOWN)}"
    return [f"note: {what}: if only objects are drawn, nothing teaches what is not an object: {cure}"]


def warnings_of(source: Source, done: Done, images: Images, *, by_value: bool) -> list[str]:
    """Reasons why the marks may be wrong. ``by_value``: an option says which stored value means unmarked."""
    warnings = []
    if images.turned:
        warnings.append(
            f"the EXIF data turns {listed(images.turned)}: the marks must be those of the image as a viewer shows it "
            "(--orientation ignore: as it is stored)"
        )
    pixels = done.totals.pixels
    most = int(pixels[:IGNORE_INDEX].argmax())
    if done.panels and not pixels[IGNORE_INDEX]:
        warnings.append(
            f"no pixel is unmarked: if {most}, the most frequent class, means unmarked, pass --unmarked {most}"
        )
    elif by_value and pixels[most] > _NEARLY_ALL * pixels.sum():
        warnings.append(
            f"{pixels[most] / pixels.sum():.1%} of the pixels are marks of class {most}: if it means unmarked, pass "
            "--unmarked and the number that is stored for it"
        )
    labels = done.totals.labels()
    if source.of_values and labels == [0] and pixels[IGNORE_INDEX] and not by_value:
        warnings.append("class 0 alone is marked: if the files are masks of 0 and 255, --remap 255:1 makes 255 a class")
    unnamed = [label for label in labels if label not in source.classes.values()]
    if source.order == NAMES and unnamed:
        warnings.append(f"{NAMES} lacks classes that are marked: {listed(list(map(str, unnamed)))}")
    if done.sizeless:
        warnings.append(
            f"no label map for {listed(done.sizeless)}: they have no marks, and EXPORT does not state their sizes "
            "(--images FOLDER)"
        )
    return warnings


def table(totals: Totals, classes: Mapping[str, int]) -> list[str]:
    """A line for each class that has a name or occurs, and one for all marks."""
    names = names_by_number(classes)
    labels = sorted({*totals.labels(), *names} - {IGNORE_INDEX})
    marked, total = int(totals.pixels[:IGNORE_INDEX].sum()), int(totals.pixels.sum())
    width = max((len(names.get(label, "")) for label in labels), default=0)
    width = max(width, len("class") - 4)
    lines = [f"{'class':<{width + 4}}  {'pixels':>13}  {'of marked':>9}  {'images':>7}"]
    for label in labels:
        pixels = int(totals.pixels[label])
        lines.append(
            f"{label:>3} {names.get(label, ''):<{width}}  {pixels:>13,}  {pixels / max(marked, 1):>9.2%}  "
            f"{int(totals.images[label]):>7,}"
        )
    lines.append(f"marked: {marked / max(total, 1):.3%} of {total:,} pixels")
    return lines


def names_by_number(classes: Mapping[str, int]) -> dict[int, str]:
    """The name of each number; several names of one number with + between them."""
    names: dict[int, str] = {}
    for name, number in classes.items():
        names[number] = f"{names[number]}+{name}" if number in names else name
    return names


def listed(names: Sequence[str]) -> str:
    """The first names, and their number if there are more."""
    more = f", ... ({len(names)})" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def class_list(classes: Mapping[str, int]) -> list[str]:
    """A name for each number from 0 on."""
    names = {number: name for number, name in names_by_number(classes).items() if number != IGNORE_INDEX}
    return [names.get(number, f"class_{number}") for number in range(max(names, default=-1) + 1)]
