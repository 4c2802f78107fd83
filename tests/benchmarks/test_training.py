"""The training benchmark's own arithmetic: the baselines' losses against naive loops, and its table."""

from __future__ import annotations

import math
from types import ModuleType

import pytest
import torch
from helpers import ROOT
from torch import Tensor

from closedform_wsss.superpixels.lab import rgb_to_lab

BENCHMARKS = ROOT / "benchmarks"
GENERATOR = torch.Generator().manual_seed(0)
P = torch.randn(2, 3, 9, 11, generator=GENERATOR).double().softmax(1)
IMAGE = torch.rand(2, 3, 9, 11, generator=GENERATOR).double()


@pytest.fixture
def baselines(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training import baselines

    return baselines


def pairs(h: int, w: int, reach: int):
    """All ordered pairs of different pixels within a square window."""
    for y in range(h):
        for x in range(w):
            for v in range(max(0, y - reach), min(h, y + reach + 1)):
                for u in range(max(0, x - reach), min(w, x + reach + 1)):
                    if (y, x) != (v, u):
                        yield y, x, v, u


def test_gated_crf(baselines):
    total = 0.0
    for n in range(2):
        for y, x, v, u in pairs(9, 11, 2):
            colour = (IMAGE[n, :, y, x] - IMAGE[n, :, v, u]).square().sum().item()
            kernel = math.exp(-((y - v) ** 2 + (x - u) ** 2) / 72 - colour / 0.02)
            total += kernel * (P[n, :, y, x] * (1 - P[n, :, v, u])).sum().item()
    loss = baselines.gated_crf(P, IMAGE, radius=2)
    assert loss.item() == pytest.approx(total / (2 * 9 * 11))


def kernel(n: int, p: Tensor, image: Tensor, sigma_xy: float, sigma_rgb: float) -> Tensor:
    h, w = p.shape[2:]
    rows = []
    for y in range(h):
        for x in range(w):
            place = [((y - v) ** 2 + (x - u) ** 2) / (2 * sigma_xy**2) for v in range(h) for u in range(w)]
            colour = (image[n] - image[n, :, y, x, None, None]).square().sum(0).flatten() / (2 * sigma_rgb**2)
            rows.append(torch.exp(-colour - torch.tensor(place, dtype=p.dtype)))
    return torch.stack(rows)


@pytest.mark.parametrize("name", ["dense_crf", "normalized_cut"])
def test_dense(baselines, name):
    big = (P.repeat_interleave(4, 2).repeat_interleave(4, 3), IMAGE.repeat_interleave(4, 2).repeat_interleave(4, 3))
    loss = getattr(baselines, name)(*big, sigma_xy=150.0, sigma_rgb=0.2)
    expected = 0.0
    for n in range(2):
        matrix = kernel(n, P, IMAGE, 150 * 11 / 500, 0.2)
        flat = P[n].flatten(1)
        cuts = [(s @ matrix @ (1 - s)).item() for s in flat]
        if name == "dense_crf":
            expected += sum(cuts) / matrix.sum().item() / 2
        else:
            expected += sum(cut / (matrix.sum(1) @ s).item() for cut, s in zip(cuts, flat, strict=True)) / 2
    assert loss.item() == pytest.approx(expected)


def test_pairwise_affinity(baselines):
    # Colours near enough to one another that some pairs are alike.
    image = 0.5 + 0.01 * IMAGE
    lab, total, count = rgb_to_lab(image), 0.0, 0
    for n in range(2):
        for y, x, v, u in pairs(9, 11, 2):
            if abs(y - v) in (0, 2) and abs(x - u) in (0, 2):
                distance = (lab[n, :, y, x] - lab[n, :, v, u]).norm().item()
                if math.exp(-distance / 2) >= 0.6:
                    count += 1
                    total -= math.log((P[n, :, y, x] * P[n, :, v, u]).sum().item())
    assert 0 < count < 2 * 99 * 8
    loss = baselines.pairwise_affinity(P, image, threshold=0.6)
    assert loss.item() == pytest.approx(total / count)


def test_all_have_gradients(baselines):
    p = P.float().requires_grad_()
    for name in baselines.BASELINES:
        (gradient,) = torch.autograd.grad(getattr(baselines, name)(p, 0.5 + 0.01 * IMAGE.float()), p)
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0, name


def test_table(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training.table import gap_closed, markdown

    assert gap_closed(0.58, 0.5, 0.6) == pytest.approx(80)
    runs = [("masks", 0.62), ("scribbles-ce", 0.5), ("scribbles-recipe", 0.59), ("scribbles-recipe", 0.61)]
    results = {
        "settings": {"data": "camvid", "epochs": 12, "size": [180, 240]},
        "runs": [{"row": row, "mean_iou": score, "pixel_accuracy": 0.8} for row, score in runs],
    }
    text = markdown(results)
    (row,) = (line for line in text.splitlines() if "recipe" in line)
    assert [cell.strip() for cell in row.strip("|").split("|")][2:] == ["0.600 ± 0.014", "83 %", "0.800 ± 0.000", "2"]


@pytest.mark.parametrize("name", ["none", "pamr", "mean_field"])
def test_filters(monkeypatch, name):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from cams import baselines
    from training import filters

    if name == "mean_field" and baselines.DENSE_CRF is None:
        pytest.skip("needs pydensecrf2")
    # A square on a ground, of which the probabilities know little and the marks something.
    image = torch.zeros(2, 3, 24, 32)
    image[:, :, 6:18, 8:24] = 1
    target = torch.full((2, 48, 64), 255)
    target[:, 20, 20:40], target[:, 2, 4:60] = 1, 0
    p = torch.full((2, 2, 24, 32), 0.5)
    q = getattr(filters, name)(p, image, target=target, fidelity=0.03, eps=1e-7, tol=0.03)
    assert q.shape == p.shape
    torch.testing.assert_close(q.sum(1), torch.ones(2, 24, 32))
    assert (q[:, 1, 10, 10:20] > 0.5).all() and (q[:, 0, 1, 2:30] > 0.5).all()
    spread = q[:, 1, 7:9, 12:18] > 0.5
    assert spread.all() if name != "none" else not spread.any()


def test_only_rows_that_there_is_data_for(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from training.rows import ROWS

    assert {row.targets for row in ROWS} == {"labels", "scribbles", "points", "cams"}
    for row in ROWS:
        assert f"--targets {row.targets}" in row.arguments, row
