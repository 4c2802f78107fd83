"""``refine_folder``: the files of the command, from a loop in Python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import photo, save

from closedform_wsss import io
from closedform_wsss.cams import refine_folder
from closedform_wsss.cams.methods import REFINERS
from closedform_wsss.cli import main

CLASSES = {"a": [7, 3], "b": [15], "c": []}


def maps_of(name: str) -> np.ndarray:
    rng = np.random.default_rng(ord(name))
    return rng.random((len(CLASSES[name]), 6, 8)).astype(np.float32)


def samples(folder: Path, names: str = "abc") -> Iterator[tuple]:
    for n, name in enumerate(names):
        pixels = photo(24, 32, seed=n)
        save(folder / f"{name}.png", pixels)
        image = (folder / f"{name}.png", pixels, io.from_array(pixels))[n % 3]
        maps = maps_of(name)
        yield name, image, maps[0] if name == "b" else torch.tensor(maps), CLASSES[name]


@pytest.mark.parametrize("threads", [1])
def test_writes_what_the_command_writes(tmp_path: Path, threads: int) -> None:
    images = tmp_path / "images"
    images.mkdir()
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        assert refine_folder(samples(images), tmp_path / "python", margin=0.05) == 3
        (tmp_path / "cams").mkdir()
        for name, classes in CLASSES.items():
            io.write_cam(tmp_path / "cams" / f"{name}.npz", np.array(classes, int), maps_of(name), format="npz")
        command = [
            "refine-cams",
            images,
            tmp_path / "cams",
            "-o",
            tmp_path / "command",
            "--margin",
            "0.05",
            "--workers",
            "1",
        ]
        assert main([str(part) for part in command]) == 0
    finally:
        torch.set_num_threads(before)
    for name in CLASSES:
        for kind, suffix in (("cams", "npz"), ("labels", "png")):
            ours, theirs = (tmp_path / who / kind / f"{name}.{suffix}" for who in ("python", "command"))
            assert ours.read_bytes() == theirs.read_bytes()


@pytest.mark.parametrize("method", list(REFINERS))
def test_images_of_bytes_and_of_fractions_are_the_same(tmp_path: Path, method: str) -> None:
    pixels = io.from_array(photo(24, 32))
    maps = torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(0))
    fractions = pixels.float() / 255
    given = {
        "bytes": pixels,
        "floats": fractions,
        "doubles": fractions.double(),
        "array": fractions.permute(1, 2, 0).numpy(),
    }
    refine_folder([(name, image, maps, [1, 2]) for name, image in given.items()], tmp_path, method=method)
    expected, *others = (io.read_cam(tmp_path / "cams" / f"{name}.npz")[1] for name in given)
    for found in others:
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    for wrong in (255 * fractions, fractions - 0.5):
        with pytest.raises(
            ValueError, match=r"sample 'wrong': refine_folder: image must be in \[0, 1\], got values in"
        ):
            refine_folder([("wrong", wrong, maps, [1, 2])], tmp_path, method=method)


def test_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    assert refine_folder(samples(tmp_path, "ab"), tmp_path / "out", method="none") == 2
    first = (tmp_path / "out/labels/a.png").stat().st_mtime_ns
    assert refine_folder(samples(tmp_path, "abc"), tmp_path / "out", method="none") == 1
    assert (tmp_path / "out/labels/a.png").stat().st_mtime_ns == first
    with pytest.raises(ValueError, match=r"other options \(threshold 0.4, now 0.3\).*or overwrite=True"):
        refine_folder(samples(tmp_path), tmp_path / "out", method="none", threshold=0.3)
    assert refine_folder(samples(tmp_path, "a"), tmp_path / "out", method="none", threshold=0.3, overwrite=True) == 1
    assert not (tmp_path / "out/labels/b.png").exists()


def test_names_with_folders_and_one_kind(tmp_path: Path) -> None:
    image, maps = torch.rand(3, 8, 9), torch.rand(2, 4, 4)
    assert refine_folder([("x/y.1", image, maps, [1, 2])], tmp_path, method="none", write="labels", power=2.0) == 1
    assert io.read_label_png(tmp_path / "labels/x/y.1.png").shape == (8, 9)
    assert not (tmp_path / "cams").exists()


IMAGE, MAPS = torch.rand(3, 8, 9), torch.rand(2, 4, 4)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (("a", IMAGE, MAPS, [1]), "sample 'a': an array of 2 maps for 1 classes"),
        (("a", IMAGE, MAPS * 5, [1, 2]), r"sample 'a': the CAM must be in \[0, 1\].*normalize=True"),
        (("a", IMAGE * torch.nan, MAPS, [1, 2]), "sample 'a': .*image must be in"),
        (("a", IMAGE[None], MAPS, [1, 2]), "sample 'a': an image must be .*without a batch dimension"),
        (("a", torch.rand(3, 20, 30).numpy(), MAPS, [1, 2]), "sample 'a': .* with the channels first: pass .*moveaxis"),
        (("a", IMAGE, MAPS, [1, 255]), "sample 'a': classes must be up to 254, got 255|got 255"),
        (("a", IMAGE, MAPS), r": samples\[0\] must be \(name, image, maps, classes\) or .*, got tuple of 3 parts"),
        (5, r": samples\[0\] must be \(name, image, maps, classes\) or .*, got int"),
        (("../a", IMAGE, MAPS, [1, 2]), "must be relative paths without"),
        (("/a", IMAGE, MAPS, [1, 2]), "must be relative paths without"),
        # Files of names that are equal to others, of which one would not be refined, or hidden ones.
        (("./a", IMAGE, MAPS, [1, 2]), "must be relative paths without './', '//' or '..', got './a'"),
        (("x//a", IMAGE, MAPS, [1, 2]), "must be relative paths without './', '//' or '..', got 'x//a'"),
        (("a/", IMAGE, MAPS, [1, 2]), "must be relative paths without './', '//' or '..', got 'a/'"),
    ],
)
def test_mistakes_name_the_sample(tmp_path: Path, sample: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=f"refine_folder.*{message}"):
        refine_folder([sample], tmp_path)
    assert not list((tmp_path / "labels").glob("*"))


def test_mistakes_in_options(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"^refine_folder: samples must be an iterable of \(name, .*, got int"):
        refine_folder(5, tmp_path / "none")
    with pytest.raises(TypeError, match=r"^refine_folder: names of samples must be texts, got list"):
        refine_folder([([], IMAGE, MAPS, [1, 2])], tmp_path, method="none")
    with pytest.raises(TypeError, match=r"^refine_folder, sample 'a': classes must be integers, got"):
        refine_folder([("a", IMAGE, MAPS, ["dog", "cat"])], tmp_path, method="none")
    with pytest.raises(ValueError, match="names of samples must differ, got 'a' twice"):
        refine_folder([("a", IMAGE, MAPS, [1, 2])] * 2, tmp_path, method="none")
    with pytest.raises(ValueError, match="names of samples must differ, got 'b' twice"):
        refine_folder([(name, IMAGE, MAPS, [1, 2]) for name in ("b", Path("b"))], tmp_path, method="none")
    for options, message in (
        ({"method": "best"}, "method must be one of"),
        ({"write": "all"}, "write must be one of"),
        ({"threshold": 0.4, "power": 2.0}, "threshold and power exclude each other"),
        ({"threshold": 1.5}, "threshold must be"),
        ({"power": 0.0}, "power must be"),
        ({"margin": -1.0}, "margin must be"),
        ({"normalize": "no"}, "normalize must be one of True, False, got 'no'"),
        ({"overwrite": "no"}, "overwrite must be one of True, False, got 'no'"),
    ):
        with pytest.raises(ValueError, match=f"refine_folder: {message}"):
            refine_folder([], tmp_path / "none", **options)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("names", [("a", "a.png/b"), ("x/a.npz/y/b", "x/a")])
def test_a_name_is_not_the_folder_of_another(tmp_path: Path, names: tuple[str, str]) -> None:
    message = f"^refine_folder: names of samples must not be folders of others, got '{names[0]}' and '{names[1]}'$"
    with pytest.raises(ValueError, match=message):
        refine_folder([(name, IMAGE, MAPS, [1, 2]) for name in names], tmp_path, method="none")
    assert refine_folder([(f"{name}b", IMAGE, MAPS, [1, 2]) for name in ("z", "z/a")], tmp_path, method="none") == 2


def test_another_default_device_does_not_matter(tmp_path: Path) -> None:
    """Where a user has told torch to make tensors on a GPU; the meta device stands in for one."""
    confident = np.repeat([[[0.0, 1.0]]], 6, 1).astype(np.float32)
    given = [("all", photo(24, 32), confident, [7]), ("none", photo(24, 32), confident[:0], [])]
    torch.set_default_device("meta")
    try:
        assert refine_folder(given, tmp_path, method="closed-form") == 2
    finally:
        torch.set_default_device(None)
    assert io.read_label_png(tmp_path / "labels" / "all.png").unique().tolist() == [0, 7]
    assert not io.read_label_png(tmp_path / "labels" / "none.png").any()
