"""Transparent layers of strokes: alpha says what is drawn, and no class is lost or renumbered in silence."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pictures import BLACK, GREEN, RED, WHITE, photo
from PIL import Image, ImageDraw, ImageFilter

from closedform_wsss import io
from closedform_wsss.io._strokes import layer as layers
from closedform_wsss.io._strokes import scribbles

SIZE = 128
LINES = {BLACK: [(45, 65), (85, 65)], RED: [(10, 10), (10, 110)], WHITE: [(118, 10), (118, 110)]}
IMAGE = np.random.default_rng(0).integers(60, 200, (SIZE, SIZE, 3)).astype(np.uint8)
IMAGE[40:90, 40:90] = 0


def layer(opacity: dict[tuple[int, int, int], int] | int = 255, width: int = 5, scale: int = 1) -> np.ndarray:
    image = Image.new("RGBA", (scale * SIZE, scale * SIZE))
    pen = ImageDraw.Draw(image)
    for color, line in LINES.items():
        alpha = opacity if isinstance(opacity, int) else opacity[color]
        pen.line([(scale * x, scale * y) for x, y in line], fill=(*color, alpha), width=scale * width)
    return np.array(image)


def classes(rgba: np.ndarray) -> np.ndarray:
    """Where black, red and white are drawn."""
    marks = np.full(rgba.shape[:2], 255, np.uint8)
    for label, color in enumerate(LINES):
        marks[(rgba[..., 3] > 0) & (rgba[..., :3] == color).all(-1)] = label
    return marks


def read(tmp_path: Path, rgba: np.ndarray, image: np.ndarray = IMAGE, **options: object) -> np.ndarray:
    Image.fromarray(rgba).save(tmp_path / "layer.png")
    return io.read_scribbles(tmp_path / "layer.png", image, **options)[0]


@pytest.mark.parametrize("opacity", [255, 153, 60, 9, {BLACK: 255, RED: 100, WHITE: 255}])
@pytest.mark.parametrize("width", [1, 5])
def test_every_stroke_is_marked_whatever_its_opacity(tmp_path: Path, opacity: object, width: int) -> None:
    rgba = layer(opacity, width)
    for image in (IMAGE, IMAGE * 0, IMAGE * 0 + 255):
        np.testing.assert_array_equal(read(tmp_path, rgba, image), classes(rgba))
    marks, colors = io.from_layer(rgba)
    np.testing.assert_array_equal(marks, classes(rgba))
    assert colors.tolist() == [list(color) for color in LINES]
    np.testing.assert_array_equal(
        read(tmp_path, rgba, colors=[WHITE, BLACK, RED]), np.array([1, 2, 0] + [255] * 253)[marks]
    )


def test_points_of_one_pixel() -> None:
    rgba = np.zeros((30, 40, 4), np.uint8)
    rgba[5, 5], rgba[9, 30], rgba[25, 12] = (*WHITE, 255), (*BLACK, 255), (*RED, 255)
    marks, colors = io.from_layer(rgba)
    assert (marks[5, 5], marks[9, 30], marks[25, 12]) == (2, 0, 1) and (marks != 255).sum() == 3 == len(colors)


def test_soft_brush() -> None:
    """Alpha of half of what is around is drawn; the colours below the edge are the stroke's own."""
    hard = layer()
    rgba = np.zeros_like(hard)
    rgba[:, :30, 0] = 255
    rgba[:, 100:, :3] = 255
    rgba[..., 3] = np.array(Image.fromarray(hard[..., 3]).filter(ImageFilter.GaussianBlur(2)))
    marks, colors = io.from_layer(rgba)
    assert colors.tolist() == [list(color) for color in LINES]
    marks = marks.numpy()
    region = np.broadcast_to(np.array([1] * 30 + [0] * 70 + [2] * 28), marks.shape)
    assert (marks == region)[marks != 255].all()
    strong = 2 * rgba[..., 3].astype(int) >= rgba[..., 3].max()
    assert (marks != 255)[strong].all() and (marks == 255)[rgba[..., 3] < 40].all()


def test_what_an_eraser_left_is_no_stroke() -> None:
    rgba = layer()
    rgba[rgba[..., 3] == 0] = (200, 200, 0, 6)
    marks, colors = io.from_layer(rgba)
    np.testing.assert_array_equal(marks, classes(layer()))
    assert len(colors) == 3


def test_smooth_edges_of_one_stroke_over_another() -> None:
    """They have the colour of a third one, which is drawn elsewhere."""
    large = Image.new("RGBA", (8 * SIZE, 8 * SIZE))
    pen = ImageDraw.Draw(large)
    pen.line([(80, 480), (880, 520)], fill=(*WHITE, 255), width=40)
    pen.line([(480, 80), (520, 880)], fill=(*BLACK, 255), width=40)
    pen.line([(100, 940), (940, 900)], fill=(128, 128, 128, 255), width=40)
    marks, colors = io.from_layer(np.array(large.resize((SIZE, SIZE), Image.Resampling.LANCZOS)))
    assert colors.tolist() == [[0] * 3, [128] * 3, [255] * 3]
    assert (marks[:105] != 1).all() and (marks[112:] == 1).sum() > 300
    assert (marks == 0).sum() > 400 and (marks == 2).sum() > 400


def test_a_thin_stroke_between_two_others_is_one_of_its_own() -> None:
    rgba = np.zeros((20, 60, 4), np.uint8)
    rgba[4:8, 5:50], rgba[8:10, 5:50], rgba[10:14, 5:50] = (*BLACK, 255), (128, 128, 128, 255), (*WHITE, 255)
    marks, colors = io.from_layer(rgba)
    assert len(colors) == 3 and (marks[8:10, 5:50] == 1).all()


def test_given_colors_must_name_all_that_is_drawn(tmp_path: Path) -> None:
    count = int((classes(layer()) == 2).sum())
    with pytest.raises(ValueError, match=rf"read_scribbles: .*colors must name every.*#ffffff \({count} pixels\)\)$"):
        read(tmp_path, layer(), colors=[BLACK, RED])
    with pytest.raises(ValueError, match=r"from_layer: colors must name every colour .*#ff0000 \(\d+ pixels\)$"):
        io.from_layer(layer(), colors=[BLACK, (225, 0, 0), WHITE])
    few = layer()
    few[3, 3:8] = (*GREEN, 255)
    marks, _ = io.from_layer(few, colors=list(LINES))
    np.testing.assert_array_equal(marks, classes(layer()))
    assert len(io.from_layer(few)[1]) == 4


def test_grey_layers_and_colors_that_mean_transparent(tmp_path: Path) -> None:
    grey = Image.new("L", (80, 60), 77)
    ImageDraw.Draw(grey).rectangle((5, 5, 70, 9), fill=0)
    ImageDraw.Draw(grey).rectangle((5, 30, 70, 34), fill=255)
    want = np.array([0] + [255] * 76 + [255] + [255] * 177 + [1])[np.array(grey)]
    image = photo(60, 80)
    for name, picture, key in (
        ("l", grey, 77),
        ("rgb", grey.convert("RGB"), (77, 77, 77)),
        ("p", grey.convert("P"), 77),
    ):
        picture.save(tmp_path / f"{name}.png", transparency=key)
        np.testing.assert_array_equal(io.read_scribbles(tmp_path / f"{name}.png", image)[0], want)


# --- a layer, or a copy with alpha


def test_copies_with_alpha(tmp_path: Path) -> None:
    image = photo(96, 128)
    copy = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    copy[10:15, 10:100, :3], copy[30:35, 10:100, :3] = RED, BLACK
    copy[70:, :, 3] = 0  # transparent pixels of a copy are unmarked
    marks = read(tmp_path, copy, image)
    assert (marks[10:15, 10:100] == 1).all() and (marks[30:35, 10:100] == 0).all() and (marks != 255).sum() == 2 * 450


def test_layers_over_most_of_an_image(tmp_path: Path) -> None:
    rgba = np.zeros((SIZE, SIZE, 4), np.uint8)
    rgba[:64], rgba[64:100] = (*RED, 255), (*BLACK, 255)
    marks = read(tmp_path, rgba, IMAGE)
    assert (marks[:64] == 1).all() and (marks[64:100] == 0).all() and (marks[100:] == 255).all()
    # Over a black image the black strokes agree with it, as those of a copy would.
    rgba[:64], rgba[64:100] = (*BLACK, 255), (*RED, 255)
    with pytest.raises(ValueError, match=r"got transparent pixels, 2 colours and many pixels as in image"):
        read(tmp_path, rgba, IMAGE * 0)


def test_layers_that_hold_no_strokes(tmp_path: Path) -> None:
    for color in ((0, 0, 0, 0), (255, 255, 255, 0)):
        rgba = np.zeros((SIZE, SIZE, 4), np.uint8) + np.array(color, np.uint8)
        with pytest.raises(ValueError, match=r"read_scribbles: .*layer must hold strokes, got alpha 0 everywhere"):
            read(tmp_path, rgba)
    noise = np.random.default_rng(1).integers(0, 256, (SIZE, SIZE, 4)).astype(np.uint8)
    noise[..., 3] = 128
    with pytest.raises(ValueError, match=r"pure colours, got 0 and \d+ of \d+ drawn pixels of other colours, #"):
        read(tmp_path, noise)
    with pytest.raises(ValueError, match=r"must have the size of image \(H, W\) = \(128, 128\), got \(127, 128\)"):
        read(tmp_path, layer()[1:])
    Image.fromarray(layer()).save(tmp_path / "layer.webp", quality=80)
    with pytest.raises(ValueError, match="in a lossless format such as PNG"):
        io.read_scribbles(tmp_path / "layer.webp", IMAGE)


def test_errors_of_from_layer() -> None:
    with pytest.raises(TypeError, match=r"layer must be a uint8 tensor \(4, H, W\) or array \(H, W, 4\), got float64"):
        io.from_layer(np.zeros((4, 4, 4)))
    for shape in ((4, 4), (4, 4, 3), (1, 4, 4, 4)):
        with pytest.raises(ValueError, match="from_layer: layer must be"):
            io.from_layer(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match=r"got a tensor of shape \(5, 5, 4\)"):
        io.from_layer(torch.zeros(5, 5, 4, dtype=torch.uint8))


def test_more_colors_than_classes_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last one would have the number of unmarked pixels. To find so many takes minutes."""
    colors = list(product(range(0, 256, 36), range(0, 252, 36), range(0, 180, 36)))[:256]
    copy = np.array(colors, np.uint8).reshape(16, 16, 3)
    image, layer = np.full_like(copy, 252), np.dstack([copy, np.full((16, 16), 255, np.uint8)])
    monkeypatch.setattr(scribbles, "find_stroke_colors", lambda *_: colors)
    with pytest.raises(ValueError, match=r"from_scribbles: .* strokes of up to 255 pure colours, got 256: name the"):
        io.from_scribbles(image, copy)
    monkeypatch.setattr(layers, "find_layer_colors", lambda *_: colors)
    with pytest.raises(ValueError, match=r"from_layer: layer must hold strokes of up to 255 pure colours, got 256 and"):
        io.from_layer(layer)


def test_layers_in_tensors() -> None:
    drawn = layer()
    for found, want in zip(io.from_layer(torch.tensor(drawn).permute(2, 0, 1)), io.from_layer(drawn), strict=True):
        assert torch.equal(found, want)
    with pytest.raises(ValueError, match=r"from_layer: tolerance must be in 0\.\.127"):
        io.from_layer(layer(), tolerance=128)
    with pytest.raises(ValueError, match=r"from_layer: colors must be \(C, 3\)"):
        io.from_layer(layer(), colors=[])
