"""The losses of other authors in the training benchmark, against naive loops."""

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


@pytest.mark.parametrize("cell", [1, 2])
def test_gated_crf(baselines, cell):
    big = (x.repeat_interleave(cell, 2).repeat_interleave(cell, 3) for x in (P, IMAGE))
    total = 0.0
    for n in range(2):
        for y, x, v, u in pairs(9, 11, 2):
            colour = (IMAGE[n, :, y, x] - IMAGE[n, :, v, u]).square().sum().item()
            kernel = math.exp(-((y - v) ** 2 + (x - u) ** 2) / 72 - colour / 0.02)
            total += kernel * (P[n, :, y, x] * (1 - P[n, :, v, u])).sum().item()
    loss = baselines.gated_crf(*big, radius=2, cell=cell)
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


@pytest.mark.parametrize("name", ["dense_crf", "normalized_cut"])
def test_gradient_of_dense(baselines, name):
    """The cut takes its gradient from the symmetry of W; differences of the loss show whether it is right."""
    image = IMAGE.repeat_interleave(4, 2).repeat_interleave(4, 3)
    p = P.repeat_interleave(4, 2).repeat_interleave(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p: getattr(baselines, name)(p, image, sigma_xy=150.0, sigma_rgb=0.2), p, fast_mode=True
    )


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
    p, image = (x.repeat_interleave(2, 2).repeat_interleave(2, 3) for x in (P, 0.5 + 0.01 * IMAGE))
    p.requires_grad_()
    for name in baselines.BASELINES:
        (gradient,) = torch.autograd.grad(getattr(baselines, name)(p, image), p)
        assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0, name


def test_entropy(baselines):
    uniform = torch.full((1, 4, 2, 2), 0.25)
    assert baselines.entropy(uniform, IMAGE).item() == pytest.approx(1)
    assert baselines.entropy(torch.eye(4)[:1, :, None, None], IMAGE).item() == 0


def test_marks_plain(baselines, monkeypatch):
    """The mean over the marks with the weight n^-1/2 for a class of n marks, and absent classes; no image."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from segmentation.losses import Batch

    target = torch.full((2, 9, 11), 255)
    target[0, 2, 1:10], target[0, 7, 3], target[1, 4, 4] = 0, 1, 1
    logits = P.log()
    marked = [(0, 2, x, 0) for x in range(1, 10)] + [(0, 7, 3, 1), (1, 4, 4, 1)]
    weight = {0: 9**-0.5, 1: 2**-0.5}
    total = sum(-weight[c] * math.log(P[n, c, y, x]) for n, y, x, c in marked)
    none = -(P[0, :2].sum(0).log().mean() + P[1, 1].log().mean()).item() / 2
    loss = baselines.LOSSES["marks_plain"](Batch(logits, IMAGE, target))
    assert loss.item() == pytest.approx(total / sum(weight[c] for *_, c in marked) + none)
