"""The CAM benchmark's own arithmetic: its scores, and the baseline that is written there."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers import ROOT
from torch import Tensor

from closedform_wsss.functional import pseudo_labels
from closedform_wsss.metrics import ConfusionMatrix

_BENCHMARKS = ROOT / "benchmarks"


@pytest.fixture
def cams(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module."""
    monkeypatch.syspath_prepend(str(_BENCHMARKS))
    from cams import cams

    return cams


@pytest.fixture
def pamr(cams: ModuleType):  # its imports come with those of the script
    return sys.modules["cams.baselines"].pamr


def naive_pamr(image: Tensor, cam: Tensor, num_iters: int, program: bool = False) -> Tensor:
    """Pixel by pixel in float64; the CAM has the image's size."""
    x, maps = image[0].double().div(255).numpy(), cam[0].double().numpy()
    height, width = x.shape[1:]

    def at(array: np.ndarray, row: int, column: int) -> np.ndarray:
        return array[:, min(max(row, 0), height - 1), min(max(column, 0), width - 1)]

    steps = [(d * y, d * z) for d in (1, 2, 4, 8, 12, 24) for y in (-1, 0, 1) for z in (-1, 0, 1) if (y, z) != (0, 0)]
    for _ in range(num_iters):
        after = np.empty_like(maps)
        for i in range(height):
            for j in range(width):
                around = np.stack([at(x, i + a, j + b) for a, b in steps])
                scale = np.concatenate([around, x[None, :, i, j]]).var(axis=0)
                if program:
                    scale = 0.1 * np.concatenate([around, np.tile(x[:, i, j], (6, 1))]).std(axis=0, ddof=1)
                k = -(np.abs(around - x[:, i, j]) / (scale + 1e-8)).mean(axis=1)
                weights = np.exp(k - k.max())
                weights /= weights.sum()
                after[:, i, j] = sum(w * at(maps, i + a, j + b) for w, (a, b) in zip(weights, steps, strict=True))
        maps = after
    return torch.from_numpy(maps)[None]


@pytest.mark.parametrize("size", [(9, 13), (1, 30), (31, 5)])
def test_pamr_is_the_formula(pamr, size: tuple[int, int]) -> None:
    image = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    cam = torch.rand(1, 2, *size)
    torch.testing.assert_close(pamr(image, cam, num_iters=2).double(), naive_pamr(image, cam, 2), rtol=0, atol=1e-5)


def test_pamr_as_its_program_has_it(at_full_size: ModuleType) -> None:
    image, cam = small_problem()
    found = at_full_size.pamr_program(image, cam, num_iters=2)
    torch.testing.assert_close(found.double(), naive_pamr(image, cam, 2, program=True), rtol=0, atol=1e-5)


def test_pamr_of_a_grey_image_is_the_plain_mean(pamr) -> None:
    image, cam = torch.full((1, 3, 60, 60), 77, dtype=torch.uint8), torch.zeros(1, 1, 60, 60)
    cam[0, 0, 30, 30] = 1
    refined = pamr(image, cam, num_iters=1)
    assert refined[0, 0, 30, 30] == 0
    torch.testing.assert_close(refined[0, 0, 30 - 24, 30 + 24], torch.tensor(1 / 48))
    torch.testing.assert_close(refined.sum(), torch.tensor(1.0))


def make_pictures(cams: ModuleType, count: int) -> list:
    """Pictures of several sizes, with void, with classes out of order, and CAMs that tell something of the truth."""
    found = []
    for n in range(count):
        size = (20 + n, 31)
        classes = torch.randperm(5)[:2] + 1
        truth = torch.cat([torch.zeros(1, dtype=torch.long), classes])[torch.randint(0, 3, size)]
        cam = (truth == classes[:, None, None]).float() * 0.3 + torch.rand(2, *size) * 0.6
        truth[:3] = 255
        image = torch.zeros(1, 3, *size, dtype=torch.uint8)
        found.append(cams.Picture(f"{n}", image, classes.numpy(), cam[None], truth.numpy().astype(np.uint8)))
    return found


def naive_matrix(pictures: list, threshold: float) -> ConfusionMatrix:
    matrix = ConfusionMatrix(6)
    for picture in pictures:
        labels = pseudo_labels(picture.cam, threshold=threshold, classes=picture.classes.tolist())
        matrix.update(labels, torch.from_numpy(picture.truth)[None])
    return matrix


def test_scores_are_those_of_the_confusion_matrix_at_each_threshold(cams: ModuleType) -> None:
    pictures = make_pictures(cams, 7)
    thresholds = [n / 100 for n in range(101)]
    halves = pictures[::2], pictures[1::2]
    curves = [[naive_matrix(half, t).compute().mean_iou for t in thresholds] for half in (*halves, pictures)]
    even, odd, both = (int(np.argmax(curve)) for curve in curves)
    cross = naive_matrix(halves[0], thresholds[odd]) + naive_matrix(halves[1], thresholds[even])

    row = cams.measure(lambda image, cam: cam, pictures, 6, {picture.name for picture in pictures[::3]})
    assert row["all"]["thresholds"] == {"even": even / 100, "odd": odd / 100, "all": both / 100}
    assert row["all"]["even_to_odd"] == pytest.approx(curves[1][even])
    assert row["all"]["odd_to_even"] == pytest.approx(curves[0][odd])
    assert row["all"]["cross"] == pytest.approx(cross.compute().mean_iou)
    assert row["all"]["best"] == pytest.approx(curves[2][both])
    # The subset is halved anew.
    alone = cams.measure(lambda image, cam: cam, pictures[::3], 6, set())
    assert row["subset"] == alone["all"]


@pytest.fixture
def at_full_size(cams: ModuleType, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The baselines without their resizing."""
    module = sys.modules["cams.baselines"]
    monkeypatch.setattr(module, "smaller", lambda image, cam, side: (image.float() / 255, cam))
    return module


def small_problem() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (1, 3, 7, 9), dtype=torch.uint8, generator=generator)
    return image, torch.rand(1, 2, 7, 9, generator=generator)


def test_the_guided_filter_is_a_regression_in_each_window(at_full_size: ModuleType) -> None:
    image, cam = small_problem()
    guide, p = image[0].double() / 255, cam[0].double()
    radius, eps = 2, 1e-2

    def window(maps: Tensor, y: int, x: int) -> Tensor:
        return maps[:, max(y - radius, 0) : y + radius + 1, max(x - radius, 0) : x + radius + 1]

    a, b = torch.zeros(2, 3, 7, 9, dtype=torch.float64), torch.zeros(2, 7, 9, dtype=torch.float64)
    for y in range(7):
        for x in range(9):
            colours, values = window(guide, y, x).flatten(1), window(p, y, x).flatten(1)
            centred = colours - colours.mean(1, keepdim=True)
            covariance = centred @ centred.T / colours.shape[1] + eps * torch.eye(3, dtype=torch.float64)
            for c in range(2):
                a[c, :, y, x] = torch.linalg.solve(covariance, centred @ values[c] / colours.shape[1])
                b[c, y, x] = values[c].mean() - a[c, :, y, x] @ colours.mean(1)
    expected = torch.zeros(2, 7, 9, dtype=torch.float64)
    for y in range(7):
        for x in range(9):
            for c in range(2):
                mean_a, mean_b = window(a[c], y, x).flatten(1).mean(1), window(b[c : c + 1], y, x).mean()
                expected[c, y, x] = mean_a @ guide[:, y, x] + mean_b
    found = at_full_size.guided_filter(image, cam, radius=radius, eps=eps)[0]
    torch.testing.assert_close(found.double(), expected.clamp(0, 1), rtol=0, atol=1e-5)


def test_the_bilateral_filter_is_near_to_its_sum(at_full_size: ModuleType) -> None:
    """The lattice approximates the Gaussian."""
    image, cam = small_problem()
    image = (image.float() / 4 + 96).byte()  # low contrast: many neighbours count
    y, x = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
    points = torch.cat([torch.stack([y, x]) / (0.3 * 9), image[0].float() / 255 / 0.2]).flatten(1).T
    weights = (-0.5 * torch.cdist(points, points).square()).exp()
    expected = ((weights @ cam[0].flatten(1).T) / weights.sum(1, keepdim=True)).T.view(2, 7, 9)
    found = at_full_size.bilateral_filter(image, cam, position=0.3, color=0.2)[0]
    assert float((found - expected).abs().mean()) < 0.02 < float((cam[0] - expected).abs().mean()) / 5


def test_the_random_walk_is_a_power_of_its_matrix(at_full_size: ModuleType) -> None:
    image, cam = small_problem()
    y, x = (part.flatten() for part in torch.meshgrid(torch.arange(7), torch.arange(9), indexing="ij"))
    near = (y[:, None] - y).square() + (x[:, None] - x).square() <= 4
    colours = image[0].double().flatten(1).T / 255
    affinity = near * (-torch.cdist(colours, colours).square() / (2 * 0.3**2)).exp()
    matrix = torch.linalg.matrix_power(affinity / affinity.sum(1, keepdim=True), 3)
    found = at_full_size.random_walk(image, cam, sigma=0.3, steps=3, radius=2)[0]
    expected = (matrix @ cam[0].double().flatten(1).T).T.view(2, 7, 9)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)


@pytest.fixture
def stored(cams: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict]:
    """Two pictures in each set, results in a folder; runs the script with options, and returns the results."""
    for folder in (folder for folders in cams.FOLDERS.values() for folder in folders):
        (tmp_path / "data" / folder / "images").mkdir(parents=True)
    (tmp_path / "data" / "voc_mini" / "meta.json").write_text("{}")
    monkeypatch.setattr(cams, "NUM_CLASSES", dict.fromkeys(cams.NUM_CLASSES, 6))
    monkeypatch.setattr(cams, "read_sets", lambda *_: dict.fromkeys(cams.NUM_CLASSES, make_pictures(cams, 2)))
    monkeypatch.setattr(cams, "describe_machine", lambda: {"threads": torch.get_num_threads(), "commit": "abc"})
    monkeypatch.setattr(cams, "RESULTS", tmp_path)
    monkeypatch.setattr(cams, "write_json", lambda name, payload: write_json(name, payload, tmp_path))
    monkeypatch.setattr(cams, "write_markdown", lambda *_: None)
    write_json = importlib.import_module("common.harness").write_json

    def run(name: str, *options: str) -> dict:
        monkeypatch.setattr(sys, "argv", ["cams", str(tmp_path / "data"), *options])
        cams.main()
        return json.loads((tmp_path / f"{name}.json").read_text())

    return run


def test_some_methods_do_not_replace_the_stored_table(stored, tmp_path: Path) -> None:
    found = stored("cams_quick", "--methods", "guided-8")
    assert list(found["rows"]) == ["raw", "guided-8"] and not (tmp_path / "cams.json").exists()
    with pytest.raises(SystemExit, match=r"--keep: there is no cams.json to keep rows of"):
        stored("cams", "--methods", "guided-8", "--keep")


def test_a_limit_that_leaves_a_half_empty(stored, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        stored("cams_quick", "--limit", "1")
    assert "--limit must be at least 2" in capsys.readouterr().err


def test_kept_rows_keep_their_other_sizes(stored, tmp_path: Path) -> None:
    found = stored("cams_quick", "--methods", "matting", "--scale-check")
    assert set(found["scales"]) == {"raw", "matting"}
    (tmp_path / "cams_quick.json").rename(tmp_path / "cams.json")
    found = stored("cams", "--methods", "guided-8", "--keep")
    assert set(found["scales"]) == {"matting"} and set(found["rows"]) == {"raw", "guided-8", "matting"}
    found["machine"]["threads"] += 1
    (tmp_path / "cams.json").write_text(json.dumps(found))
    with pytest.raises(SystemExit, match=r"the times of cams.json are of \d+ thread\(s\)"):
        stored("cams", "--methods", "guided-8", "--keep")


def test_only_rows_of_the_table_are_described(cams: ModuleType) -> None:
    table = sys.modules["cams.table"]
    text = table._descriptions({"rows": {"raw": {}, "guided-8": {}}, "dense_crf": "pydensecrf2 1.1"})
    assert "`raw`" in text and "`guided`" in text and "pamr" not in text and "pydensecrf" not in text
    assert "pydensecrf was left out" in table._descriptions({"rows": {"raw": {}}, "dense_crf": None})
