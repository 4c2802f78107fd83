"""The tree energy loss and the mean teacher of the training benchmark."""

from __future__ import annotations

import itertools
import math
from types import ModuleType, SimpleNamespace

import pytest
import torch
from helpers import ROOT
from torch import Tensor

GENERATOR = torch.Generator().manual_seed(0)
P = torch.randn(2, 3, 5, 7, generator=GENERATOR).double().softmax(1)
IMAGE = torch.rand(2, 3, 5, 7, generator=GENERATOR).double()
FEATURES = torch.rand(2, 4, 5, 7, generator=GENERATOR).double()


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    from training import tree_energy

    return tree_energy


def paths(features: Tensor, sigma: float) -> Tensor:
    """S of one image ``(D, H, W)``: Kruskal's tree, and the product of the weights on each path by a walk from each
    pixel."""
    _, h, w = features.shape
    f = features.flatten(1)
    cells = list(itertools.product(range(h), range(w)))
    edges = [(y * w + x, v * w + u) for (y, x) in cells for (v, u) in ((y, x + 1), (y + 1, x)) if v < h and u < w]
    length = {edge: (f[:, edge[0]] - f[:, edge[1]]).square().sum().item() for edge in edges}
    group = list(range(h * w))
    near: dict[int, list[tuple[int, float]]] = {i: [] for i in range(h * w)}
    for a, b in sorted(edges, key=length.__getitem__):
        if group[a] != group[b]:
            group = [group[a] if g == group[b] else g for g in group]
            for i, j in ((a, b), (b, a)):
                near[i].append((j, math.exp(-length[a, b] / sigma)))
    s = torch.zeros(h * w, h * w, dtype=torch.float64)
    for start in range(h * w):
        stack = [(start, -1, 1.0)]
        while stack:
            i, before, product = stack.pop()
            s[start, i] = product
            stack += [(j, i, product * weight) for j, weight in near[i] if j != before]
    return s


def filtered(p: Tensor, features: Tensor, sigma: float) -> Tensor:
    out = []
    for maps, f in zip(p, features, strict=True):
        s = paths(f, sigma)
        out.append(((s @ maps.flatten(1).mT) / s.sum(1, keepdim=True)).mT.unflatten(1, p.shape[2:]))
    return torch.stack(out)


@pytest.mark.parametrize("sigma", [0.02, 0.5])
def test_filter(training, sigma):
    found = training.forest(IMAGE, sigma).filter(P.movedim(1, 3).flatten(0, 2))
    expected = filtered(P, IMAGE, sigma).movedim(1, 3).flatten(0, 2)
    torch.testing.assert_close(found, expected)


def test_flat_image(training):
    """Every weight is 1, so that every pixel gets the mean of its image."""
    found = training.forest(torch.full_like(IMAGE, 0.5), 0.02).filter(P.movedim(1, 3).flatten(0, 2))
    expected = P.mean((2, 3))[:, None].expand(2, 35, 3).flatten(0, 1)
    torch.testing.assert_close(found, expected)


def test_tree_energy(training):
    marked = torch.zeros(2, 5, 7, dtype=torch.bool)
    marked[0, 2, 1:5], marked[1, 4, 6] = True, True
    q = filtered(filtered(P, IMAGE / 0.225, 0.02), FEATURES, 1.0)
    expected = ((P - q).abs().sum(1) * ~marked).sum() / (~marked).sum()
    p = P.clone().requires_grad_()
    big = (x.repeat_interleave(2, 2).repeat_interleave(2, 3) for x in (p, IMAGE))
    one = torch.zeros(2, 10, 14, dtype=torch.bool)
    one[:, 1::2, ::2] = marked  # one pixel of a square is enough
    loss = training.tree_energy(*big, FEATURES, one)
    assert loss.item() == pytest.approx(expected.item())
    # q is a constant.
    (gradient,) = torch.autograd.grad(loss, p)
    torch.testing.assert_close(gradient, (P - q).sign() * ~marked[:, None] / (~marked).sum())


def test_mean_teacher(training):
    from training import baselines

    teacher = P.flip(1)
    expected = sum(((P[n, c] - teacher[n, c]) ** 2).sum().item() for n in range(2) for c in range(3)) / (2 * 35)
    assert baselines.LOSSES["mean_teacher"](SimpleNamespace(logits=P.log(), teacher=teacher)).item() == pytest.approx(
        expected
    )


@pytest.mark.parametrize("loss", ["tree_energy", "mean_teacher"])
def test_loop_gives_what_the_losses_need(training, monkeypatch, loss):
    import train_segmentation
    from segmentation.losses import Batch
    from segmentation.model import LiteFPN
    from training import baselines
    from training.observed import ObservedTrainer

    monkeypatch.setattr(train_segmentation, "LOSSES", train_segmentation.LOSSES | baselines.LOSSES)
    trainer = object.__new__(ObservedTrainer)
    model, average = LiteFPN(3, pretrained=False), LiteFPN(3, pretrained=False)
    monkeypatch.setattr(
        train_segmentation.Trainer,
        "__init__",
        lambda self, args: vars(self).update(
            args=args, model=model, average=average, world=1, labeler=None, online=None
        ),
    )
    trainer.__init__(SimpleNamespace(loss=[(loss, 1.0)], classes=3))
    image, target = torch.rand(2, 3, 32, 64, generator=GENERATOR), torch.full((2, 32, 64), 255)
    target[:, 4, 4:20] = 1
    batch = Batch(trainer.model(image), image, target)
    trainer.main_loss(batch)
    value = baselines.LOSSES[loss](batch)
    if loss == "tree_energy":
        assert batch.features.shape == (2, 64, 8, 16) and not batch.features.requires_grad
    else:
        assert not average.training and not batch.teacher.requires_grad
        torch.testing.assert_close(batch.teacher, average(image.flip(-1)).flip(-1).softmax(1))
    value.backward()
    assert model.classifier.weight.grad.abs().sum() > 0
