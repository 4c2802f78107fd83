"""The images that marks belong to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from PIL import Image

from closedform_wsss.cli.common.folders import CHANNEL, IMAGE_SUFFIXES, PICTURE_SUFFIXES, composed
from closedform_wsss.cli.common.pattern import files_below
from closedform_wsss.io import read_image
from closedform_wsss.io._annotations.label_studio import UPLOAD
from closedform_wsss.io._pictures.open import decoding
from closedform_wsss.io._pictures.orientation import stored_orientation

_QUARTER_TURNS = (5, 6, 7, 8)


@dataclass
class Images:
    """The images in a folder and its sub-folders.

    Attributes:
        folder: The folder; None: there are no images.
        results: A folder that is not searched.
        marks: Paths of files that hold marks, and are no images.
        orientation: "apply" or "ignore" the orientation in the EXIF data; None: apply it.
        turned: The images of which ``size`` was asked, and whose orientation was applied.
    """

    folder: Path | None
    results: Path
    marks: Collection[str]
    orientation: str | None
    turned: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.paths = [
            path
            for path in (files_below(self.folder, self.results) if self.folder else ())
            if path.lower().endswith(IMAGE_SUFFIXES) and path not in self.marks
        ]
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._uploaded: dict[str, list[str]] = defaultdict(list)  # by their names without Label Studio's prefix
        for path in self.paths:
            pure = PurePosixPath(composed(path))
            for form in {pure.name, pure.stem}:
                self._by_name[form].append(path)
                if (short := UPLOAD.sub("", form, count=1)) != form:
                    self._uploaded[short].append(path)

    def find(self, name: str) -> Path | None:
        """The path of an image; None if it is not there.

        Of several images with this name, the one with the same path is right, else the one that agrees in the most
        folders. If none has the whole name, the suffix does not count. Then the first channel of nnU-Net's case
        fits too, and then the name with or without the prefix of an upload to Label Studio.

        Args:
            name: Its name in an export, with ``/`` between folders, with or without a suffix.

        Raises:
            ValueError: Several fit equally well.
        """
        wanted = PurePosixPath(composed(name))
        for near in self._near(wanted):
            agreeing = [_agreement(PurePosixPath(composed(path)).parts[:-1], wanted.parts[:-1]) for path in near]
            best = [path for path, rank in zip(near, agreeing, strict=True) if rank == max(agreeing)]
            if len(best) > 1:
                raise ValueError(
                    f"{name!r} must be one image in {self.folder}, got {', '.join(best[:3])}: name it with its folder, "
                    "or pass the folder that holds it as --images"
                )
            if best and self.folder:
                return self.folder / best[0]
        return None

    def has(self, name: str) -> bool:
        """Whether ``find`` finds one or several images."""
        return any(self._near(PurePosixPath(composed(name))))

    def _near(self, wanted: PurePosixPath) -> list[list[str]]:
        """The paths of images that may be meant, the best ones first."""
        exact = [wanted.name, without_suffix(wanted.name)]
        short = [UPLOAD.sub("", form, count=1) for form in exact]
        forms = [(self._by_name, form) for form in (*exact, f"{exact[1]}{CHANNEL}", *short)]
        near = [named.get(form, []) for named, form in (*forms, *((self._uploaded, form) for form in exact))]
        # A file a.jpg.png, as tools name masks, has the name a.jpg only if there is no a.jpg.
        return [[path for path in near[0] if PurePosixPath(composed(path)).name == wanted.name], *near]

    def name(self, path: Path) -> str:
        """The path of an image, relative to the folder, with ``/``."""
        return path.relative_to(self.folder or "").as_posix()

    def size(self, path: Path) -> tuple[int, int]:
        """``(H, W)`` of an image, turned as its EXIF data says.

        Raises:
            OSError: The file may not be read.
            ValueError: It is no image.
        """
        with open(path, "rb") as file, decoding(str(path), "read_image"), Image.open(file) as image:
            width, height = image.size
            orientation = stored_orientation(image)
            is_tiff = image.format == "TIFF"
        ignored = self.orientation == "ignore"
        if orientation != 1 and not ignored:
            self.turned.append(self.name(path))
        if is_tiff:  # versions of Pillow differ in whether the size is that before or after the turn
            _, height, width = read_image(path, orientation=self.orientation or "apply").shape
            return height, width
        return (width, height) if orientation in _QUARTER_TURNS and not ignored else (height, width)


def without_suffix(name: str) -> str:
    """The name of an image without its suffix. Another ending after a dot is part of the name, as in scan.1."""
    lower = name.lower()
    suffix = next((suffix for suffix in PICTURE_SUFFIXES if lower.endswith(suffix)), "")
    return name[: len(name) - len(suffix)]


def _agreement(folders: tuple[str, ...], wanted: tuple[str, ...]) -> tuple[bool, int, int]:
    """Whether the folders are the same, and how many of the last ones and of the first ones are."""
    return folders == wanted, _common(folders[::-1], wanted[::-1]), _common(folders, wanted)


def _common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many folders are the same before the first difference."""
    return next(
        (number for number, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
