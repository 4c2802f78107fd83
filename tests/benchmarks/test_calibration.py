"""The benchmark of calibrate_cam: what it counts, and what it chooses."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import ROOT


@pytest.fixture
def calibration(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from cams import calibration

    return calibration


def make_pictures(count: int) -> list:
    """Bright squares on a dark ground, with CAMs that spill over, and a strip of void."""
    Picture = sys.modules["cams.cams"].Picture
    found = []
    for n in range(count):
        truth = np.zeros((64, 80), np.uint8)
        truth[16 + n : 40 + n, 20:52] = 1 + n % 2
        truth[:4] = 255
        image = torch.from_numpy(40 + 160 * (truth > 0)).byte().expand(1, 3, -1, -1).contiguous()
        cam = F.avg_pool2d(F.pad(torch.from_numpy((truth % 255 > 0) * 1.0)[None, None].float(), (12,) * 4), 25, 1)
        found.append(Picture(f"{n}", image, np.array([1 + n % 2]), cam / cam.max(), truth))
    return found


def test_counts_of_a_map(calibration: ModuleType) -> None:
    (picture,) = make_pictures(1)
    maps = calibration.measured([picture])
    refined = calibration.refine_cam(picture.cam, picture.image, level=None)
    cam = F.interpolate(refined, (16, 20), mode="bilinear", antialias=True)[0, 0].numpy()
    truth = F.interpolate(torch.from_numpy(picture.truth)[None, None].double(), (16, 20), mode="nearest")[0, 0].numpy()
    for k, level in enumerate(calibration.LEVELS.tolist()):
        counts = np.zeros(4)
        for value, label in zip(cam.ravel(), truth.ravel(), strict=True):
            if label == 255:
                continue
            inside, own = value > level, label == 1
            counts += [inside and own, inside or own, not inside and label == 0, not inside or label == 0]
        assert maps.pixels[0, k].tolist() == counts.tolist()
    torch.testing.assert_close(maps.iou, maps.pixels[..., 0] / maps.pixels[..., 1])


def test_pooled_iou_is_that_of_all_pixels(calibration: ModuleType) -> None:
    maps = calibration.measured(make_pictures(3))
    threshold = torch.tensor([3, 20, 30])
    got = maps.pooled_iou(F.one_hot(threshold, 41))
    chosen = torch.stack([maps.pixels[i, k] for i, k in enumerate(threshold.tolist())])
    first, second = chosen[0] + chosen[2], chosen[1]
    background = chosen.sum(0)
    expected = (first[0] / first[1] + second[0] / second[1] + background[2] / background[3]) / 3
    torch.testing.assert_close(got, expected)


def test_nothing_near_the_choice_is_better(calibration: ModuleType) -> None:
    sets = [calibration.measured(make_pictures(6)[k::2]) for k in (0, 1)]

    def value(parameters: torch.Tensor) -> float:
        total = -calibration.CAUTION * parameters.square().mean()
        for maps in sets:
            weight = calibration.log_weights(maps, [0, 2, 4], parameters).softmax(1)
            total += ((weight * maps.iou).sum(1).mean() + maps.pooled_iou(weight)) / 2 / len(sets)
        return float(total)

    chosen = calibration.chosen(sets, [0, 2, 4])
    assert value(chosen) > value(torch.zeros(5)) + 0.01
    for _ in range(20):
        assert value(chosen) > value(chosen + 0.3 * torch.randn(5)) - 1e-3


def test_rows_and_intervals(calibration: ModuleType) -> None:
    pictures = make_pictures(8)
    sets = {"a": calibration.measured(pictures[::2]), "b": calibration.measured(pictures[1::2])}
    rows = calibration.rows("b", sets)
    best = sets["b"].iou.gather(1, rows["the best threshold of each map (upper bound)"][:, None])[:, 0]
    assert torch.equal(best, sets["b"].iou.amax(1))
    low, high = calibration.interval(sets["b"], sets["b"].iou[:, 5])
    assert low <= float(sets["b"].iou[:, 5].mean()) <= high
    assert low < high
