"""Every reader of files on thousands of damaged ones: a right result, or an error that names the reader and the file.

``CFW_FUZZ=20 pytest tests/fuzz/test_fuzz_readers.py`` tries twenty times as many files. A failing file is kept in the
folder that pytest names, as ``broken`` with its suffix; the drawing is seeded, so it comes again. What was found so far
is in ``test_fuzz_found.py``.
"""

from __future__ import annotations

import contextlib
import os
import random
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import fuzz
from helpers import fuzz_formats as formats
from PIL import Image

from closedform_wsss import io
from closedform_wsss.cli import main

TIMES = int(os.environ.get("CFW_FUZZ", "1"))
SLOWEST = 10.0  # seconds for a file; they take milliseconds

IMAGE, SCRIBBLES = formats.IMAGE, formats.scribble_files()
Forge = Callable[[random.Random, bytes], bytes]


def forged_image(rng: random.Random, data: bytes) -> bytes:
    return formats.forged_png(rng, data) if data.startswith(formats.PNG) else data


def forged_cam(rng: random.Random, data: bytes) -> bytes:
    return formats.forged_npz(rng, data) if data.startswith(b"PK") else formats.forged_npy(rng, data)


def broken_files(name: str, seeds: list[bytes], forge: Forge, count: int) -> Iterator[bytes]:
    """Damaged files, the same in every run."""
    rng = random.Random(name)
    for _ in range(count * TIMES):
        whole = rng.choice(seeds)
        data = forge(rng, whole) if rng.random() < 0.5 else whole
        yield fuzz.damaged(rng, data, seeds) if data is whole or rng.random() < 0.2 else data


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Lets Pillow refuse sizes early that it would take seconds for, and say nothing of damages that it can mend."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200_000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def is_picture(result: Any) -> bool:
    return result.dtype == torch.uint8 and result.ndim == 3 and result.shape[0] == 3 and result.numel() > 0


def are_marks(result: Any) -> bool:
    return result.dtype == torch.int64 and result.ndim == 2 and result.numel() > 0


def are_marks_and_colors(result: Any) -> bool:
    marks, colors = result
    classes = set(np.unique(marks).tolist()) - {255}
    return are_marks(marks) and marks.shape == IMAGE.shape[:2] and bool(classes) and max(classes) < len(colors)


def is_cam(result: Any) -> bool:
    classes, maps = result
    right = classes.dtype == torch.int64 and maps.dtype == torch.float32 and classes.shape == maps.shape[:1]
    unique = len(set(classes.tolist())) == len(classes) and min(classes.tolist(), default=1) >= 1
    return right and unique and maps.ndim == 3 and bool(maps.isfinite().all()) and type(maps) is torch.Tensor


def are_probabilities(result: Any) -> bool:
    right = result.dtype == torch.float32 and result.ndim == 3 and result.shape[0] >= 2
    return right and bool(result.isfinite().all()) and bool(((result.sum(0) - 1).abs() < 0.05).all())


def are_tags(result: Any) -> bool:
    classes = [number for numbers in result.values() for number in numbers]
    return all(isinstance(name, str) for name in result) and all(1 <= number <= 254 for number in classes)


def are_colors(result: Any) -> bool:
    names, colors = result
    return colors.dtype == np.uint8 and colors.shape == (len(names), 3) and len(names) > 0


def is_volume(result: Any) -> bool:
    values = result.values
    return values.dtype == torch.float32 and values.ndim == 4 and values.shape[1] == 1 and result.affine.shape == (4, 4)


def as_it_is(rng: random.Random, data: bytes) -> bytes:
    return data


# Reader, whole files, how to forge them, the suffix, what it must return, who may be named, and how many files.
READERS: dict[str, tuple[Callable[[Path], Any], list[bytes], Forge, str, Callable[[Any], bool], tuple[str, ...], int]]
READERS = {
    "read_image": (io.read_image, formats.pictures(), forged_image, ".png", is_picture, ("read_image",), 2000),
    "read_image, window": (
        *(lambda path: io.read_image(path, window=(10, 1000)), formats.pictures(), forged_image),
        *(".png", is_picture, ("read_image",), 500),
    ),
    "read_label_png": (
        *(io.read_label_png, [*formats.label_files(), *formats.pictures()]),
        *(forged_image, ".png", are_marks, ("read_label_png",), 1200),
    ),
    "marks": (
        *(io.read_marks, [*formats.label_files(), *SCRIBBLES], forged_image),
        *(".png", are_marks, ("read_marks", "read_label_png"), 1500),
    ),
    "remapped marks": (
        *(lambda path: io.read_marks(path, remap={0: 255}), formats.label_files(), forged_image),
        *(".png", are_marks, ("read_marks",), 500),
    ),
    "marks on an image": (
        *(lambda path: io.read_marks(path, IMAGE), SCRIBBLES, forged_image),
        *(".png", are_marks, ("read_marks", "read_scribbles", "read_label_png"), 400),
    ),
    "trimap": (
        *(lambda path: io.read_marks(path, kind="trimap"), formats.label_files(), forged_image),
        *(".png", are_marks, ("read_marks",), 1500),
    ),
    "read_scribbles": (
        *(lambda path: io.read_scribbles(path, IMAGE), SCRIBBLES, forged_image),
        *(".png", are_marks_and_colors, ("read_scribbles",), 600),
    ),
    "read_scribblesup_xml": (
        *(io.read_marks, formats.xml_files(), formats.forged_xml),
        *(".xml", are_marks, ("read_scribblesup_xml",), 3000),
    ),
    "read_cam": (io.read_cam, formats.cam_files(), forged_cam, ".npy", is_cam, ("read_cam",), 6000),
    "read_probabilities": (
        *(io.read_probabilities, formats.probability_files(), formats.forged_npz, ".npz"),
        *(are_probabilities, ("read_probabilities",), 1000),
    ),
    "read_tags": (io.read_tags, formats.TAGS, as_it_is, ".txt", are_tags, ("read_tags",), 1000),
    "read_label_colors": (
        *(io.read_label_colors, formats.COLOR_LISTS, as_it_is, ".txt"),
        *(are_colors, ("read_label_colors",), 500),
    ),
    "read_volume": (io.read_volume, formats.volume_files(), as_it_is, ".nii", is_volume, ("read_volume",), 500),
}


@contextlib.contextmanager
def no_code_run() -> Iterator[None]:
    """Fails if a pickle gets anything by its name, or if a command runs.

    Audit hooks stay for ever, so there is one, and this switches it on.
    """
    if not _hooked:
        sys.addaudithook(_hook)
        _hooked.append(True)
    _seen.clear()
    _watching.append(True)
    try:
        yield
    finally:
        _watching.clear()
    assert not _seen, f"events {_seen}"


_hooked: list[bool] = []
_watching: list[bool] = []
_seen: list[str] = []


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in ("pickle.find_class", "os.system", "os.exec", "os.posix_spawn", "subprocess.Popen"):
        _seen.append(event)


@pytest.mark.parametrize("name", READERS)
def test_broken_files(name: str, tmp_path: Path) -> None:
    read, seeds, forge, suffix, is_right, callers, count = READERS[name]
    if not seeds:
        pytest.skip("needs nibabel")
    path = tmp_path / f"broken{suffix}"
    outcomes = {"right": 0, "refused": 0}
    with no_code_run():
        for data in broken_files(name, seeds, forge, count):
            path.write_bytes(data)
            started = time.perf_counter()
            try:
                result = read(path)
            except ValueError as error:
                message = str(error)
                assert message.startswith(tuple(f"{caller}: " for caller in callers)) and str(path) in message
                outcomes["refused"] += 1
            else:
                assert is_right(result)
                outcomes["right"] += 1
            assert time.perf_counter() - started < SLOWEST
    # Both sides are looked at: not every file is broken at its first byte, and not every damage is harmless.
    assert min(outcomes.values()) > count * TIMES / 100, outcomes


@pytest.mark.slow
def test_matte_on_broken_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, marks = tmp_path / "image.png", tmp_path / "marks.png"
    whole = formats.encoded(Image.fromarray(IMAGE), "PNG")
    for n, data in enumerate(broken_files("matte", [whole, *SCRIBBLES], forged_image, 100)):
        image.write_bytes(data if n % 2 else whole)
        marks.write_bytes(SCRIBBLES[0] if n % 2 else data)
        status = main(["matte", str(image), str(marks), "-o", str(tmp_path / "out"), "--quiet", "--tol", "0.1"])
        said = capsys.readouterr().err.splitlines()
        assert status == 0 or (status == 2 and len(said) == 1 and said[0].startswith("closedform-wsss matte: ")), said


def test_folders_of_broken_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """``eval`` and ``refine-cams``: each failure has its line, and the whole files are done."""
    for name in ("images", "cams", "truth"):
        (tmp_path / name).mkdir()
    picture, truth = formats.encoded(Image.fromarray(IMAGE), "PNG"), np.zeros(IMAGE.shape[:2], np.uint8)
    files = list(broken_files("folders", formats.cam_files(), forged_cam, 60))
    for n, data in enumerate([*files, formats.cam_files()[0]]):
        (tmp_path / "images" / f"{n:04d}.png").write_bytes(picture)
        (tmp_path / "cams" / f"{n:04d}.npy").write_bytes(data)
        io.write_label_png(tmp_path / "truth" / f"{n:04d}.png", truth)
    images, cams, out = (str(tmp_path / name) for name in ("images", "cams", "out"))
    for command in (
        ["refine-cams", images, cams, "-o", out, "--normalize", "--workers", "1", "--method", "none"],
        ["eval", cams, str(tmp_path / "truth"), "--normalize", "--workers", "1"],
    ):
        assert main(command) == 1
        # Truths of one class are worth a warning to eval.
        said = [line for line in capsys.readouterr().err.splitlines() if " eval: warning: " not in line]
        assert 0 < len(said) <= len(files)
        assert all(str(tmp_path) in line and "Error: " not in line.split("got ")[0] for line in said), said
    done = len(list((tmp_path / "out" / "labels").iterdir()))
    assert done == len(files) + 1 - len(said)
