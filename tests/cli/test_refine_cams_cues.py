"""``refine-cams`` with maps of other networks: ``--saliency`` and ``--boundaries``."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import ROOT
from helpers import stored_pictures as stored
from helpers.pictures import photo, save
from PIL import Image

from closedform_wsss import io
from closedform_wsss.cams import refine_folder
from closedform_wsss.cams.cues import read_cue
from closedform_wsss.cli import main
from closedform_wsss.functional import refine_cam

FILES = ROOT / "tests" / "files"
NAMES = ("a", "b")
SIZE = (24, 33)


@pytest.fixture
def data(tmp_path: Path, threads: None) -> Path:
    """images/, cams/, and saliency/ and boundaries/ in different formats and sizes."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(2)
    for name in ("images", "cams", "saliency", "boundaries"):
        (tmp_path / name).mkdir()
    for n, name in enumerate(NAMES):
        save(tmp_path / "images" / f"{name}.png", photo(*SIZE, seed=n))
        io.write_cam(tmp_path / "cams" / f"{name}.npz", [7, 3], rng.random((2, 6, 8)).astype(np.float32))
        grey = rng.integers(0, 256, SIZE, np.uint8)
        wide = (rng.random((12, 16)) * 65535).astype(np.uint16)
        wide.flat[0] = 65535
        Image.fromarray((grey, np.repeat(grey[..., None], 3, 2))[n]).save(tmp_path / "saliency" / f"{name}.png")
        Image.fromarray(wide).save(tmp_path / "boundaries" / f"{name}.tif")
    return tmp_path


def run(data: Path, *options: str) -> int:
    command = ["refine-cams", str(data / "images"), str(data / "cams"), "-o", str(data / "out"), "--workers", "1"]
    return main([*command, *(option.replace("DATA", str(data)) for option in options)])


SALIENCY, BOUNDARIES = ("--saliency", "DATA/saliency"), ("--boundaries", "DATA/boundaries")


@pytest.mark.parametrize("options", [SALIENCY, BOUNDARIES, (*SALIENCY, *BOUNDARIES)])
def test_writes_what_the_function_gives(data: Path, options: tuple[str, ...]) -> None:
    assert run(data, *options) == 0
    for name in NAMES:
        image = io.read_image(data / "images" / f"{name}.png")[None]
        classes, maps = io.read_cam(data / "cams" / f"{name}.npz")
        saliency, boundaries = (
            io.read_image(data / kind / f"{name}.{suffix}")[None, :1]
            for kind, suffix in (("saliency", "png"), ("boundaries", "tif"))
        )
        cues = {"saliency": saliency, "boundaries": boundaries}
        given = {cue: map for cue, map in cues.items() if f"--{cue}" in options}
        found, refined = io.read_cam(data / "out" / "cams" / f"{name}.npz")
        assert found.tolist() == classes.tolist()
        torch.testing.assert_close(refined[None], refine_cam(maps[None], image, **given), rtol=0, atol=1e-5)
        assert (refined[None] - refine_cam(maps[None], image)).abs().max() > 0.002


def test_the_loop_in_python_writes_the_same(data: Path) -> None:
    assert run(data, *SALIENCY, *BOUNDARIES) == 0

    def samples():
        for n, name in enumerate(NAMES):
            classes, maps = io.read_cam(data / "cams" / f"{name}.npz")
            file = data / "boundaries" / f"{name}.tif"
            boundaries = io.read_image(file)[0].float() / 255
            saliency = np.array(Image.open(data / "saliency" / f"{name}.png").convert("L"))
            cues = {"saliency": saliency, "boundaries": (file, boundaries)[n]}
            yield name, data / "images" / f"{name}.png", maps, classes.tolist(), cues

    assert refine_folder(samples(), data / "python") == 2
    for name in NAMES:
        one, other = (io.read_cam(data / out / "cams" / f"{name}.npz")[1] for out in ("out", "python"))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_a_second_run_with_other_maps_is_refused(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, *SALIENCY) == 0
    assert run(data) == 2
    assert "saliency" in capsys.readouterr().err
    assert run(data, *SALIENCY) == 0
    assert "warning" not in capsys.readouterr().err
    later = 2 + (data / "out" / "labels" / "a.png").stat().st_mtime
    os.utime(data / "saliency" / "a.png", (later, later))
    assert run(data, *SALIENCY) == 0
    assert "1 results are older than the files that they were made from" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options, message",
    [
        (
            (*SALIENCY, "--method", "dense-crf"),
            "saliency must be left out for the method dense-crf: these use it: full",
        ),
        (
            (*BOUNDARIES, "--method", "matting"),
            "boundaries must be left out for the method matting: these use it: full",
        ),
        (("--saliency", "DATA/cams"), "--saliency must be a folder of files .jpg"),
        (("--saliency", "DATA/nothing"), "nothing"),
    ],
)
def test_mistakes_in_the_arguments(
    data: Path, options: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(data, *options) == 2
    assert message in capsys.readouterr().err
    assert not (data / "out").exists()


def test_a_missing_map(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "saliency" / "b.png").unlink()
    assert run(data, *SALIENCY) == 2
    assert "--saliency must hold a file for every image, got none for b" in capsys.readouterr().err
    (data / "list.txt").write_text("a\n")
    assert run(data, *SALIENCY, "--list", "DATA/list.txt") == 0


def test_wrong_maps_fail_image_by_image(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(data / "saliency" / "a.png", photo(*SIZE, seed=5))
    Image.fromarray(np.zeros(SIZE[::-1], np.uint8)).save(data / "saliency" / "b.png")
    assert run(data, *SALIENCY) == 1
    err = capsys.readouterr().err
    assert "a file of saliency must be grey" in err and "save the map itself" in err
    assert "the map of saliency of 33 x 24 is turned by 90 degrees against the image of 24 x 33" in err


def test_values_of_zero_and_one_are_no_black_and_white(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray((np.arange(24 * 33).reshape(SIZE) % 2).astype(np.uint8)).save(data / "saliency" / "a.png")
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(data / "saliency" / "b.png")  # nothing is salient
    assert run(data, *SALIENCY) == 1
    assert "got values of 0 and 1, which are both black" in capsys.readouterr().err
    assert [path.stem for path in (data / "out" / "labels").iterdir()] == ["b"]


@pytest.mark.parametrize("kind", ["weak 16 bits", "floating point", "12 bits"])
def test_deep_files_have_a_fixed_white(data: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The largest value does not decide: a map that is nowhere certain stays so."""
    weak = 0.4 * np.random.default_rng(3).random(SIZE)
    for name in NAMES:
        path = data / "saliency" / f"{name}.png"
        path.unlink()
        if kind == "weak 16 bits":
            Image.fromarray((65535 * weak).astype(np.uint16)).save(path)
        elif kind == "floating point":
            Image.fromarray(weak.astype(np.float32)).save(path.with_suffix(".tif"))
        else:  # which the file states
            values = (4095 * weak).astype(">u2").tobytes()
            path.with_suffix(".pgm").write_bytes(b"P5\n%d %d\n4095\n" % SIZE[::-1] + values)
    assert run(data, *SALIENCY) == 0
    assert capsys.readouterr().err == ""
    image = io.read_image(data / "images" / "a.png")[None]
    expected = refine_cam(
        io.read_cam(data / "cams" / "a.npz")[1][None], image, saliency=torch.from_numpy(weak)[None, None]
    )
    torch.testing.assert_close(io.read_cam(data / "out" / "cams" / "a.npz")[1][None], expected, rtol=0, atol=5e-3)


@pytest.mark.parametrize("name", ["netpbm_12.pgm", "imagemagick_12.tif"])
def test_maps_in_formats_that_say_what_white_is(name: str) -> None:
    map = read_cue("saliency", FILES / name)[0].numpy()
    np.testing.assert_allclose(map, stored.TWELVE_BITS / 4095, rtol=0, atol=1 / 400)


@pytest.mark.parametrize(("difference", "grey"), [(32, True), (33, False)])
def test_channels_differ_by_what_jpeg_leaves(tmp_path: Path, difference: int, grey: bool) -> None:
    """At a single pixel, and between any two channels."""
    for order in ((0, 1, 2), (2, 0, 1)):
        pixels = np.full((*SIZE, 3), 100, np.uint8)
        pixels[3, 4] = np.array([90, 100, 90 + difference])[[*order]]
        Image.fromarray(pixels).save(tmp_path / "map.png")
        if grey:
            map = read_cue("saliency", tmp_path / "map.png")
            torch.testing.assert_close(map[0, 3, 4].item(), pixels[3, 4].mean() / 255, rtol=0, atol=1e-6)
        else:
            with pytest.raises(ValueError, match=r"a file of saliency must be grey.* an image with colours"):
                read_cue("saliency", tmp_path / "map.png")


@pytest.mark.parametrize(("beyond", "accepted"), [(0.02, True), (0.021, False)])
def test_floating_point_may_leave_the_range_by_what_interpolation_adds(
    tmp_path: Path, beyond: float, accepted: bool
) -> None:
    for value, end in ((-beyond, 0), (1 + beyond, 1)):
        pixels = np.full(SIZE, 0.5, np.float32)
        pixels[3, 4] = value
        Image.fromarray(pixels).save(tmp_path / "map.tif")
        if accepted:
            assert read_cue("saliency", tmp_path / "map.tif")[0, 3, 4] == end
        else:
            with pytest.raises(ValueError, match=r"saliency in floating point must be in \[0, 1\]"):
                read_cue("saliency", tmp_path / "map.tif")


def test_a_damaged_map_fails_alone(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = (data / "saliency" / "a.png").read_bytes()
    (data / "saliency" / "a.png").write_bytes(whole[:60])
    assert run(data, *SALIENCY) == 1
    assert "saliency/a.png" in capsys.readouterr().err
    assert [path.stem for path in (data / "out" / "labels").iterdir()] == ["b"]


def test_names_of_nnunet(data: Path) -> None:
    """The images and the maps of saliency have the number of a channel in their names, the CAMs have not."""
    for folder in ("images", "saliency"):
        for name in NAMES:
            (data / folder / f"{name}.png").rename(data / folder / f"{name}_0000.png")
    assert run(data, *SALIENCY) == 0


def test_grey_jpeg_and_two_levels_count_as_grey(data: Path) -> None:
    grey = np.repeat(photo(*SIZE, seed=1)[..., :1], 3, 2).astype(int) + np.array([0, 3, -3])
    (data / "saliency" / "a.png").unlink()
    Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(data / "saliency" / "a.jpg", quality=80)
    Image.fromarray(photo(*SIZE)[..., 0] > 120).save(data / "saliency" / "b.png")
    assert Image.open(data / "saliency" / "b.png").mode == "1"
    assert run(data, *SALIENCY) == 0


@pytest.mark.parametrize(
    "cues, message",
    [
        ({"salient": np.zeros(SIZE)}, "a map's name must be one of"),
        ({"saliency": np.zeros((2, *SIZE))}, r"saliency must be \(h, w\) or \(1, h, w\), got shape \(2, 24, 33\)"),
        ({"saliency": np.eye(*SIZE, dtype=np.uint8)}, "saliency in uint8 must be .*, got values of 0 and 1"),
        ({"saliency": 2 * np.ones(SIZE)}, r"saliency must be in \[0, 1\]"),
        (np.zeros(SIZE), "what follows the classes must be a dictionary of maps, got ndarray"),
        (("saliency", np.zeros(SIZE)), "what follows the classes must be a dictionary of maps, got tuple"),
    ],
)
def test_mistakes_of_a_loop(tmp_path: Path, cues: object, message: str) -> None:
    sample = ("a", photo(*SIZE), np.full((6, 8), 0.5, np.float32), [3], cues)
    with pytest.raises((TypeError, ValueError), match=message):
        refine_folder([sample], tmp_path / "out")


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_a_cut_out_is_no_map(data: Path, mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    """What is around a white object that was cut out would become white too."""
    alpha = np.zeros(SIZE, np.uint8)
    alpha[8:16, 10:20] = 255
    bands = [np.full(SIZE, 255, np.uint8)] * (len(mode) - 1)
    Image.fromarray(np.dstack([*bands, alpha])).save(data / "saliency" / "a.png")
    opaque = [*bands[1:], np.arange(24 * 33).reshape(SIZE).astype(np.uint8)] if mode == "LA" else [alpha] * 3
    Image.fromarray(np.dstack([*opaque, np.full(SIZE, 255, np.uint8)])).save(data / "saliency" / "b.png")
    assert run(data, *SALIENCY) == 1
    err = capsys.readouterr().err
    assert "a file of saliency must be grey, from black (none) to white (certain), got transparent pixels in" in err
    assert [path.stem for path in (data / "out" / "labels").iterdir()] == ["b"]


def test_floating_point_beyond_white(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Values from 0 to 255 would all be white."""
    grey = np.random.default_rng(3).random(SIZE).astype(np.float32)
    for name, factor in (("a", 255), ("b", 1.01)):  # an interpolation overshoots
        (data / "saliency" / f"{name}.png").unlink()
        Image.fromarray(factor * grey).save(data / "saliency" / f"{name}.tif")
    assert run(data, *SALIENCY) == 1
    wrong = f"a file of saliency in floating point must be in [0, 1], got values from {255 * grey.min():.4g} to "
    assert wrong in capsys.readouterr().err
    assert [path.stem for path in (data / "out" / "labels").iterdir()] == ["b"]


@pytest.mark.parametrize("orientation", ["apply", "ignore"])
def test_maps_have_the_orientation_of_the_images(data: Path, orientation: str) -> None:
    """A program that stores maps with the EXIF data of their images."""
    exif = Image.Exif()
    exif[0x0112] = 3
    for folder in ("images", "saliency"):
        for path in (data / folder).iterdir():
            with Image.open(path) as image:
                image.load()
            image.save(path, exif=exif)
    assert run(data, *SALIENCY, "--orientation", orientation) == 0
    image, saliency = (
        io.read_image(data / folder / "a.png", orientation=orientation)[None] for folder in ("images", "saliency")
    )
    expected = refine_cam(io.read_cam(data / "cams" / "a.npz")[1][None], image, saliency=saliency[:, :1])
    found = io.read_cam(data / "out" / "cams" / "a.npz")[1]
    torch.testing.assert_close(found[None], expected, rtol=0, atol=1e-5)
