"""Marks from colour strokes on a copy of the image."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import BLACK, BLUE, GREEN, RED, WHITE, bars, jpeg, photo, save
from PIL import Image, ImageDraw
from scipy import ndimage

from closedform_wsss import io


@pytest.mark.parametrize("width", [1, 2, 5])
def test_black_and_white_strokes_are_background_and_foreground(width: int) -> None:
    image = photo()
    # White is drawn first and covers as much: the order comes from the colours alone.
    scribbled, drawn = bars(image, [WHITE, BLACK], width)
    marks, colors = io.from_scribbles(image, scribbled)
    assert colors.tolist() == [[0, 0, 0], [255, 255, 255]]
    np.testing.assert_array_equal(marks, np.where(drawn == 255, 255, 1 - drawn))


def test_colors_are_ordered_by_value() -> None:
    image = photo(100, 80)
    scribbled, drawn = bars(image, [WHITE, RED, BLACK, BLUE, GREEN])
    marks, colors = io.from_scribbles(image, scribbled)
    assert colors.tolist() == [list(c) for c in (BLACK, BLUE, GREEN, RED, WHITE)]
    np.testing.assert_array_equal(marks, np.array([4, 3, 0, 1, 2] + [255] * 251, np.uint8)[drawn])


@pytest.mark.parametrize("quality", [95, 80, 60])
def test_strokes_survive_jpeg(quality: int) -> None:
    image = photo(96, 128)
    scribbled, drawn = bars(image, [RED, WHITE, BLUE, BLACK], 8)
    marks, colors = io.from_scribbles(image, jpeg(scribbled, quality))
    want = np.array([2, 3, 1, 0] + [255] * 252, np.uint8)[drawn]
    assert np.abs(colors.numpy().astype(int) - [BLACK, BLUE, RED, WHITE]).max() < 30
    marks = marks.numpy()
    assert not ((marks != 255) & (marks != want)).any()
    assert ((marks == want) & (want != 255)).sum() > 0.6 * (want != 255).sum()


def test_soft_edges_are_dropped() -> None:
    image = np.full((60, 80, 3), 255, np.uint8)
    large = Image.new("RGB", (80 * 8, 60 * 8), "white")
    pen = ImageDraw.Draw(large)
    # The soft edges of black on white have every grey, that of the grey stroke included.
    pen.line([(60, 60), (580, 150)], fill=BLACK, width=44)
    pen.line([(60, 400), (580, 330)], fill=(128, 128, 128), width=44)
    scribbled = np.array(large.resize((80, 60), Image.Resampling.BOX))
    marks, colors = io.from_scribbles(image, scribbled)
    assert colors.tolist() == [[0, 0, 0], [128, 128, 128]]
    assert (marks[:30] != 1).all() and (marks[30:] != 0).all()
    assert (marks == 0).sum() > 250 and (marks == 1).sum() > 250


def test_an_even_edge_is_no_stroke_of_its_own() -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    scribbled, _ = bars(image, [BLACK, RED])
    scribbled[[5, 11], 8:-8] = (100, 100, 100)
    scribbled[[20, 26], 8:-8] = (228, 100, 100)
    marks, colors = io.from_scribbles(image, scribbled)
    assert colors.tolist() == [list(BLACK), list(RED)]
    assert (marks[[5, 11, 20, 26]] == 255).all()


def test_a_stroke_is_unmarked_where_it_has_the_image_s_color() -> None:
    image = photo()
    image[:, 40:] = 250
    scribbled, drawn = bars(image, [WHITE, BLACK])
    drawn[(drawn == 0) & (np.arange(80) >= 40)] = 255
    marks, _ = io.from_scribbles(image, scribbled)
    np.testing.assert_array_equal(marks, np.where(drawn == 255, 255, 1 - drawn))


def test_given_colors_set_the_order() -> None:
    image = photo()
    scribbled, drawn = bars(image, [RED, BLUE])
    marks, colors = io.from_scribbles(image, scribbled, colors=[WHITE, BLUE, RED])
    assert colors.tolist() == [list(WHITE), list(BLUE), list(RED)]
    np.testing.assert_array_equal(marks, np.array([2, 1] + [255] * 254, np.uint8)[drawn])


@pytest.mark.parametrize("quality", [None, 90, 70])
def test_given_colors_lose_no_stroke_in_silence(quality: int | None) -> None:
    image = photo(96, 128)
    scribbled, _ = bars(image, [RED, BLUE, GREEN], 8)
    copy = scribbled if quality is None else jpeg(scribbled, quality)
    with pytest.raises(
        ValueError, match=r"colors must name every colour that is drawn, got none for \d+ .*pixels\)"
    ) as e:
        io.from_scribbles(image, copy, colors=[WHITE, BLUE, RED])
    color, count = re.findall(r"#([0-9a-f]{6}) \((\d+) pixels\)", str(e.value))[0]
    assert np.abs(np.array([*bytes.fromhex(color)]) - GREEN).max() < 40
    assert 0.5 < int(count) / (scribbled == GREEN).all(-1).sum() <= 1
    # A few pixels of another colour are no stroke.
    few = copy.copy()
    few[(scribbled == GREEN).all(-1)] = image[(scribbled == GREEN).all(-1)]
    few[60:62, 60:63] = GREEN
    marks, _ = io.from_scribbles(image, few, colors=[WHITE, BLUE, RED])
    assert set(np.unique(marks)) == {1, 2, 255}


def test_what_cannot_be_read_is_not_told_to_do_what_was_done() -> None:
    """Half-transparent strokes on a copy: their colour is mixed with the image's."""
    image = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    scribbled = image.copy()
    for rows, color in ((slice(10, 18), RED), (slice(70, 78), BLUE)):
        scribbled[rows, 10:110] = np.rint(0.6 * np.array(color) + 0.4 * image[rows, 10:110])
    with pytest.raises(
        ValueError, match=r"opaque strokes.*name the colors, or save the strokes as a transparent layer"
    ):
        io.from_scribbles(image, scribbled)
    with pytest.raises(ValueError, match="or save the strokes as a transparent layer") as caught:
        io.from_scribbles(image, scribbled, colors=[RED, BLUE])
    assert "name the colors" not in str(caught.value)


@pytest.mark.parametrize("layout", [torch.Tensor.contiguous, lambda x: x])
def test_scribbles_on_tensors(layout: Callable[[torch.Tensor], torch.Tensor], tmp_path: Path) -> None:
    image = photo()
    scribbled, _ = bars(image, [RED, BLUE])
    tensors = [layout(io.from_array(picture)) for picture in (image, scribbled)]
    marks, colors = io.from_scribbles(*tensors)
    assert marks.dtype == torch.int64 and colors.dtype == torch.uint8
    for found, want in zip((marks, colors), io.from_scribbles(image, scribbled), strict=True):
        assert torch.equal(found, want)
    save(tmp_path / "strokes.png", scribbled)
    assert torch.equal(io.read_marks(tmp_path / "strokes.png", tensors[0]), marks)
    assert io.guess_kind(tmp_path / "strokes.png", tensors[0]) == "scribbles"


def test_scribble_errors() -> None:
    image = photo()
    with pytest.raises(ValueError, match="got no pixel that differs"):
        io.from_scribbles(image, image)
    with pytest.raises(ValueError, match=r"size of image .* got \(59, 80\)"):
        io.from_scribbles(image, image[1:])
    with pytest.raises(
        ValueError, match=r"must be a uint8 tensor .* or array \(H, W, 3\), got an array of shape \(60, 80\)"
    ):
        io.from_scribbles(image[..., 0], image)
    with pytest.raises(TypeError, match=r"scribbled must be a uint8 tensor .*, got float64"):
        io.from_scribbles(image, image / 255)
    with pytest.raises(TypeError, match=r"image must be a uint8 tensor .*, got list"):
        io.from_scribbles(image.tolist(), image)
    with pytest.raises(ValueError, match="pure colours"):
        io.from_scribbles(image, photo(seed=1))
    scribbled, _ = bars(image, [RED])
    with pytest.raises(ValueError, match=r"colors must name every colour .*#ff0000 \(320 pixels\)"):
        io.from_scribbles(image, scribbled, colors=[BLUE])
    for colors in ([], [RED, RED], [[0, 0]], [[0, 0, 256]], [[0.5, 0, 0]]):
        with pytest.raises(ValueError, match="colors must"):
            io.from_scribbles(image, scribbled, colors=colors)
    with pytest.raises(ValueError, match="tolerance must be in"):
        io.from_scribbles(image, scribbled, tolerance=200)
    with pytest.raises(ValueError, match="got no pixel"):
        io.from_scribbles(image[:0], image[:0])


def test_one_stroke_whose_color_cannot_be_told_is_an_error_not_a_missing_class() -> None:
    image = photo(96, 128)
    scribbled, _ = bars(image, [BLACK, WHITE], 8)
    ramp = np.linspace(0, 255, 80).round().astype(np.uint8)
    scribbled[70:78, 20:100] = np.stack([ramp, 255 - ramp, ramp[::-1] // 3], -1)
    with pytest.raises(ValueError, match="got 2 such colours"):
        io.from_scribbles(image, scribbled)


def test_one_pixel_wide_image() -> None:
    image = np.full((40, 1, 3), 100, np.uint8)
    scribbled = image.copy()
    scribbled[:8], scribbled[30:] = 0, 255
    marks, _ = io.from_scribbles(image, scribbled)
    assert marks[:, 0].tolist() == [0] * 8 + [255] * 22 + [1] * 10


def test_read_marks_numbers_classes_alike_over_files_with_given_colors(tmp_path: Path) -> None:
    image, classes = photo(), [BLACK, BLUE, RED]
    for present in ([0, 1, 2], [0, 2], [2]):
        scribbled, marks = bars(image, [classes[index] for index in present])
        expected = np.array(present + [255] * (256 - len(present)))[marks]
        path = save(tmp_path / f"{len(present)}.png", scribbled)
        np.testing.assert_array_equal(io.read_marks(path, image, colors=classes), expected)
        np.testing.assert_array_equal(io.read_scribbles(path, image, colors=classes)[0], expected)
    # By default the one colour that is left is the first class.
    assert set(np.unique(io.read_marks(path, image))) == {0, 255}


def test_read_marks_refuses_colors_of_a_label_map(tmp_path: Path) -> None:
    path = tmp_path / "labels.png"
    io.write_label_png(path, np.eye(9, dtype=np.uint8))
    with pytest.raises(ValueError, match="read_marks: colors must be None for kind='labels', got 2 colours"):
        io.read_marks(path, colors=[RED, BLUE])


def blurred(image: np.ndarray, colors: list, sigma: float) -> np.ndarray:
    """The image with soft bars."""
    scribbled = image.astype(float)
    for index, color in enumerate(colors):
        cover = np.zeros((*image.shape[:2], 1))
        cover[8 + 16 * index : 13 + 16 * index, 10:-10] = 1
        cover = ndimage.gaussian_filter(cover, (sigma, sigma, 0))
        scribbled = scribbled * (1 - cover) + np.array(color) * cover
    return scribbled.round().astype(np.uint8)


def test_colours_that_a_soft_brush_mixed_are_named(tmp_path: Path) -> None:
    image = photo(100, 140)
    soft = blurred(image, [BLACK, RED, WHITE], 2)
    with pytest.warns(UserWarning, match=r"the colours #.* became classes, but a soft brush") as caught:
        _, colors = io.read_scribbles(save(tmp_path / "soft.png", soft), image)
    named = re.findall("#(......)", str(caught[0].message))
    assert named and set(named) <= {bytes(color).hex() for color in colors.tolist()}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        io.from_scribbles(image, soft, colors=colors.tolist())  # confirmed
        io.from_scribbles(image, blurred(image, [BLACK, RED], 0.7))
        io.from_scribbles(image, jpeg(bars(image, [BLACK, RED, WHITE], 8)[0], 80))
        io.from_scribbles(image, bars(image, [(70, 10, 90), (172, 112, 94)])[0])  # hard strokes of any colour


def test_a_copy_of_few_colors_names_all_that_became_classes(tmp_path: Path) -> None:
    """The palette of a GIF changes the photograph too, also to colours that are nearly pure."""
    image = photo(100, 140)
    path = tmp_path / "few.gif"
    Image.fromarray(bars(image, [BLACK, RED], 8)[0]).quantize(64).save(path)
    with pytest.warns(UserWarning, match=r"became classes, but scribbled has at most 256 colours") as caught:
        _, colors = io.read_scribbles(path, image)
    assert re.findall("#(......)", str(caught[0].message)) == [bytes(color).hex() for color in colors.tolist()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        io.read_scribbles(path, image, colors=colors.tolist())  # confirmed
        flat = np.full((40, 60, 3), 90, np.uint8)
        Image.fromarray(bars(flat, [BLACK, RED])[0]).quantize(4).save(path)
        io.read_scribbles(path, flat)  # nothing was lost


@pytest.mark.parametrize("backdrop", [False, True])
def test_strokes_on_paper_are_no_copy(tmp_path: Path, backdrop: bool) -> None:
    """The paper would be a class, also where the photograph itself has a backdrop of about its colour."""
    image = photo(100, 140)
    if backdrop:
        image[:, :60] = 250
    canvas, _ = bars(np.full_like(image, 255), [BLACK, RED])
    with pytest.raises(ValueError, match="strokes on a canvas of one colour, #ffffff: draw on the image"):
        io.read_marks(save(tmp_path / "canvas.png", canvas), image, kind="scribbles")
    for colors in (None, [BLACK, RED, WHITE]):
        with pytest.raises(ValueError, match="canvas"):
            io.from_scribbles(image, canvas, colors=colors)
    nearly_all = image.copy()
    nearly_all[5:-5, 5:-5] = 0
    marks, _ = io.from_scribbles(image, nearly_all)
    assert (marks == 0).sum() == 90 * 130


def test_no_kind_fits_marks_of_another_photograph(tmp_path: Path) -> None:
    image = photo(60, 80)
    other = save(tmp_path / "big.png", bars(photo(90, 120), [BLACK, WHITE])[0])
    for call in (io.read_marks, io.guess_kind):
        with pytest.raises(ValueError, match=r"the size of image \(H, W\) = \(60, 80\), got \(90, 120\)"):
            call(other, image)
    many = image.copy()  # soft from end to end, so that some of it has no pure colour
    many[20:40] = np.linspace(0, 255, 80).astype(np.uint8)[:, None]
    many[50:55, 5:60] = RED
    with pytest.raises(ValueError, match=r"got \d+ such colours \(.*#ff0000.*\), which leave"):
        io.from_scribbles(image, many)
    save(tmp_path / "colors.png", bars(np.zeros_like(image), [(250, 50, 83)])[0])
    with pytest.raises(ValueError, match=r"nothing known: strokes must be on .*--colors of closedform-wsss marks"):
        io.read_marks(tmp_path / "colors.png")
    with pytest.raises(ValueError, match="are image and scribbled in the wrong order"):
        io.from_scribbles(bars(image, [BLACK, WHITE])[0], image)


@pytest.mark.parametrize(("size", "colors"), [((30, 40), None), ((30, 40), [RED]), ((1, 7), [RED]), ((1, 1), [RED])])
def test_one_class_over_the_whole_image_is_no_paper(
    size: tuple[int, int], colors: list[tuple[int, int, int]] | None
) -> None:
    image = photo(*size)
    marks, _ = io.from_scribbles(image, np.full_like(image, RED), colors=colors)
    assert (marks == 0).all()
