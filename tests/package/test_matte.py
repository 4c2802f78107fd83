"""``closedform_wsss.matte``: what somebody with a photograph and marks calls."""

from __future__ import annotations

import importlib
import re
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

import closedform_wsss
from closedform_wsss import io
from closedform_wsss.functional import ConvergenceWarning, estimate_foreground, solve_matting

HEIGHT, WIDTH = 24, 32
RED, BLUE = np.array([200, 60, 40]), np.array([60, 90, 190])


def photo() -> np.ndarray:
    """Blue left, red right, mixed between."""
    weight = ((np.arange(WIDTH) - 12) / 6).clip(0, 1)[None, :, None]
    noise = np.random.default_rng(0).integers(-4, 5, (HEIGHT, WIDTH, 3))
    return (weight * RED + (1 - weight) * BLUE + noise).astype(np.uint8)


def labels() -> np.ndarray:
    marks = np.full((HEIGHT, WIDTH), 255, np.uint8)
    marks[4:20, 3:7], marks[4:20, 24:28] = 0, 1
    return marks


def scribbled(image: np.ndarray) -> np.ndarray:
    copy, marks = image.copy(), labels()
    copy[marks == 0], copy[marks == 1] = 0, 255
    return copy


def layer() -> np.ndarray:
    marks = labels()
    return np.dstack([np.where(marks == 1, 255, 0)] * 3 + [np.where(marks == 255, 0, 255)]).astype(np.uint8)


def trimap() -> np.ndarray:
    return np.array([0, 255, 128], np.uint8)[np.minimum(labels(), 2)]


def expected() -> np.ndarray:
    image = torch.from_numpy(photo()).permute(2, 0, 1)[None]
    alpha = solve_matting(torch.from_numpy(labels())[None], image).alpha[0, 1]
    return alpha.clamp(0, 1).numpy()


def test_alpha_and_cutout_are_those_of_the_functions() -> None:
    found = closedform_wsss.matte(photo(), labels())
    assert found.alpha.dtype == np.float32 and found.solution.converged
    np.testing.assert_array_equal(found.alpha, expected())
    image = torch.from_numpy(photo()).permute(2, 0, 1)[None]
    colors = estimate_foreground(image, torch.from_numpy(found.alpha)[None])[0].permute(1, 2, 0).numpy()
    assert found.cutout.dtype == np.uint8 and found.cutout.shape == (HEIGHT, WIDTH, 4)
    np.testing.assert_array_equal(found.cutout[..., :3], np.rint(colors * 255))
    np.testing.assert_array_equal(found.cutout[..., 3], np.rint(found.alpha * 255))
    # At half alpha the photograph is purple; the cut-out is red.
    soft = (found.alpha > 0.4) & (found.alpha < 0.6)
    assert soft.any()
    assert np.abs(found.cutout[soft][:, :3].mean(0) - RED).max() < 15
    assert np.abs(photo()[soft].mean(0) - RED).max() > 60


@pytest.mark.parametrize("form", ["array", "Pillow", "tensor", "float", "float tensor", "file"])
def test_every_form_of_an_image(form: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    Image.fromarray(photo()).save(path)
    tensor = torch.from_numpy(photo()).permute(2, 0, 1)
    image: Any = {
        "array": photo(),
        "Pillow": Image.fromarray(photo()),
        "tensor": tensor,
        "float": photo() / 255,
        "float tensor": tensor.float() / 255,
        "file": str(path),
    }[form]
    found = closedform_wsss.matte(image, labels())
    np.testing.assert_allclose(found.alpha, expected(), atol=2e-3)
    np.testing.assert_allclose(found.cutout.astype(int), closedform_wsss.matte(photo(), labels()).cutout, atol=2)


MARKS: dict[str, Any] = {
    "array": labels,
    "int64": lambda: labels().astype(np.int64),
    "tensor": lambda: torch.from_numpy(labels()),
    "Pillow": lambda: Image.fromarray(labels()),
    "trimap": trimap,
    "scribbles": lambda: scribbled(photo()),
    "scribbles, a tensor": lambda: torch.from_numpy(scribbled(photo())).permute(2, 0, 1),
    "scribbles by Pillow": lambda: Image.fromarray(scribbled(photo())),
    "layer": layer,
}


@pytest.mark.parametrize("form", MARKS)
def test_every_form_of_marks(form: str) -> None:
    np.testing.assert_array_equal(closedform_wsss.matte(photo(), MARKS[form]()).alpha, expected())


@pytest.mark.parametrize("kind", ["labels", "trimap", "scribbles", "layer"])
def test_every_file_of_marks(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "marks.png"
    if kind == "labels":
        io.write_label_png(path, labels())
    else:
        pixels = {"trimap": trimap(), "scribbles": scribbled(photo()), "layer": layer()}[kind]
        Image.fromarray(pixels).save(path)
    for image in (photo(), photo() / 255):
        np.testing.assert_allclose(closedform_wsss.matte(image, path).alpha, expected(), atol=2e-3)


@pytest.mark.parametrize("levels", [[0.2, 0.7], np.array([0.2, 0.7]), iter([0.2, 0.7]), ("0.2", "0.7")])
def test_levels_of_any_sequence(levels: Any) -> None:
    expected = closedform_wsss.matte(photo(), labels(), levels=(0.2, 0.7))
    assert np.array_equal(closedform_wsss.matte(photo(), labels(), levels=levels).alpha, expected.alpha)


def test_levels_and_grey_images() -> None:
    found = closedform_wsss.matte(photo(), labels(), levels=(0.2, 0.7))
    np.testing.assert_allclose(found.alpha, ((expected() - 0.2) / 0.5).clip(0, 1), atol=1e-6)
    assert found.cutout[..., 3].min() == 0 and found.cutout[..., 3].max() == 255
    grey = closedform_wsss.matte(photo()[..., 0], labels()).cutout
    assert (grey[..., 0] == grey[..., 1]).all() and (grey[..., 0] == grey[..., 2]).all()


def only(label: int) -> np.ndarray:
    return np.where(labels() == label, labels(), 255)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"marks": only(0)}, "marks must be on the background, 0, and on the foreground, 1, got only background, 0"),
        ({"marks": only(1)}, r".* got only foreground, 1: mark both \(strokes of a single colour are 0"),
        ({"marks": only(7)}, ".* and on the foreground, 1, got none"),
        ({"marks": labels() * 2}, r"marks must be 0 background, 1 .* got 2, 254: for several classes"),
        ({"marks": np.where(labels() == 0, 0, 1)}, "marks must leave pixels unmarked, 255, got 0 or 1 at every pixel"),
        ({"marks": labels()[1:]}, r"marks must have the size of image \(H, W\) = \(24, 32\), got shape \(23, 32\)"),
        ({"marks": scribbled(photo())[1:]}, r"marks must have the size of image .* got \(23, 32\)"),
        ({"marks": labels() / 255}, "marks must be integers, .* got torch.float64"),
        ({"marks": labels() == 0}, "marks must be integers, .* got torch.bool"),
        ({"marks": object()}, "marks must be a path, an array, a Pillow image or a tensor, got object"),
        ({"image": photo().astype(float)}, "image must be in .* divide by 255, or pass uint8"),
        ({"image": np.dstack([photo(), labels()])}, r"image must be a photograph .* pass image\[..., :3\]"),
        ({"image": torch.from_numpy(photo())}, r"image must be a photograph \(3, H, W\), got shape \(24, 32, 3\)"),
        ({"image": photo() * np.nan}, "image must be in .* got NaN"),
        (
            {"image": photo().astype(np.uint16) * 257},
            "image must be uint8 or floating point, got uint16: .*to_unit_range",
        ),
        ({"image": photo()[None]}, r"image must be \(H, W, 3\) or \(H, W\), got shape \(1, 24, 32, 3\)"),
        ({"eps": 0.0}, "eps must be a finite number > 0, got 0.0"),
        ({"tol": -1}, "tol must be a finite number > 0, got -1"),
        ({"levels": (0.9, 0.1)}, r"levels must be \(low, high\), finite in 0 to 1, low below high, got \(0.9, 0.1\)"),
        ({"levels": 0.5}, "levels must be .* got 0.5"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=f"^matte: {message}"):
        closedform_wsss.matte(**({"image": photo(), "marks": labels()} | arguments))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pillow_images_of_more_than_8_bits_are_not_clipped(mode: str, tmp_path: Path) -> None:
    deep = photo()[..., 0].astype({"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]) * 257
    image = Image.fromarray(deep)
    assert image.mode == mode
    with pytest.raises(ValueError, match=f"matte: image must have 8 bits per channel, .* '{mode}': pass the path"):
        closedform_wsss.matte(image, labels())
    cures: list[Any] = [io.to_unit_range(deep.astype(np.float32), window=(0, 65535))]
    if mode == "I;16":
        image.save(tmp_path / "deep.png")
        cures.append(tmp_path / "deep.png")
    grey = closedform_wsss.matte(photo()[..., 0], labels()).alpha
    for cure in cures:
        np.testing.assert_allclose(closedform_wsss.matte(cure, labels()).alpha, grey, atol=2e-3)


def test_transparent_pixels_of_a_pillow_image_are_white_as_those_of_its_file(tmp_path: Path) -> None:
    opacity = np.full(photo().shape[:2], 255, np.uint8)
    opacity[:10] = 0
    image = Image.fromarray(np.dstack([photo(), opacity]))
    image.save(tmp_path / "layer.png")
    of_image, of_file = (closedform_wsss.matte(given, labels()).alpha for given in (image, tmp_path / "layer.png"))
    np.testing.assert_array_equal(of_image, of_file)
    assert not np.array_equal(of_image, closedform_wsss.matte(photo(), labels()).alpha)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_a_pillow_image_that_would_be_turned_as_a_file_is_told(suffix: str, tmp_path: Path) -> None:
    """After a half turn the sizes do not show that the marks belong elsewhere."""
    exif = Image.Exif()
    exif[0x0112] = 3
    path = tmp_path / f"photo{suffix}"
    Image.fromarray(photo()).save(path, exif=exif)
    with pytest.warns(io.OrientationWarning, match="was turned by 180 degrees"):
        wanted = closedform_wsss.matte(path, labels()).alpha
    with warnings.catch_warnings(record=True) as caught, Image.open(path) as image:
        warnings.simplefilter("always")
        got = closedform_wsss.matte(image, labels()).alpha
    if suffix == ".tif":  # Pillow has turned it
        assert not caught and np.array_equal(got, wanted)
        return
    (warning,) = caught
    assert "matte: image states the EXIF orientation 3, which is applied to files and not" in str(warning.message)
    assert warning.category is io.OrientationWarning and warning.filename == __file__
    with warnings.catch_warnings(), Image.open(path) as image:
        warnings.simplefilter("error")
        np.testing.assert_array_equal(closedform_wsss.matte(ImageOps.exif_transpose(image), labels()).alpha, wanted)
        np.testing.assert_array_equal(closedform_wsss.matte(np.asarray(image), labels()).alpha, got)


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        closedform_wsss.matte(tmp_path / "none.png", labels())
    path = tmp_path / "half.png"
    Image.fromarray(photo()).save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"half\.png"):
        closedform_wsss.matte(path, labels())


def test_a_solve_that_stops_early_is_told_with_options_of_this_function(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("closedform_wsss._matte")
    monkeypatch.setattr(module, "solve_matting", partial(solve_matting, max_iter=1))
    marks = np.full((20, 30), 255)
    marks[5:15, 3], marks[5:15, 26] = 0, 1
    photo = np.random.default_rng(0).random((20, 30, 3))
    with pytest.warns(ConvergenceWarning) as caught:
        result = closedform_wsss.matte(photo, marks)
    (warning,) = caught
    assert re.fullmatch(
        r"matte: stopped after 1 iterations with an estimated error of \S+ in alpha, above tol 0.001: raise eps or tol,"
        r" or mark more",
        str(warning.message),
    )
    assert warning.filename == __file__ and not result.solution.converged
