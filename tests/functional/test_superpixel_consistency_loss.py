"""The superpixel consistency loss: against a naive loop, on hard inputs, gradients, errors."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import oracle
from helpers.superpixels import association, gridded
from torch.autograd import gradcheck

from closedform_wsss import Superpixels, nn
from closedform_wsss.functional import slic, superpixel_consistency_loss

WEIGHTINGS = ["agreement", "majority", "purity"]


def members(superpixels: torch.Tensor, cell_size: int) -> list[tuple[int, int, object, float]]:
    """(y, x, superpixel, weight) of one image, soft (9, H, W) or hard (H, W)."""
    if superpixels.ndim == 2:
        return [
            (y, x, int(superpixels[y, x]), 1.0)
            for y in range(superpixels.shape[0])
            for x in range(superpixels.shape[1])
        ]
    h, w = superpixels.shape[1:]
    grid = (math.ceil(h / cell_size), math.ceil(w / cell_size))
    return [
        (y, x, (row, column), float(superpixels[k, y, x]))
        for y in range(h)
        for x in range(w)
        for k, row, column in oracle.neighbours(y, x, cell_size, grid)
    ]


def naive_weights(target, superpixels, classes, cell_size, weighting, gamma):
    """w (H, W) of one image, pixel by pixel."""
    pairs = members(superpixels, cell_size)
    histograms: dict = {}
    for y, x, u, q in pairs:
        if target[y, x] != 255:
            histograms.setdefault(u, np.zeros(classes))[target[y, x]] += q
    w = np.zeros(target.shape)
    for y, x, u, q in pairs:
        if target[y, x] == 255 or u not in histograms or histograms[u].sum() == 0:
            continue
        share = histograms[u] / histograms[u].sum()
        best = share == share.max()
        a = {"agreement": share, "majority": best / best.sum(), "purity": np.full(classes, (share**2).sum())}[weighting]
        w[y, x] += q * a[target[y, x]]
    return w**gamma


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (11, 14)])
def test_agrees_with_naive_loop(weighting, hard, size):
    superpixels = torch.randint(0, 5, (2, *size)) if hard else association(2, *size, 4)
    target = torch.randint(0, 3, (2, *size))
    target[torch.rand(2, *size) < 0.3] = 255
    logits = torch.randn(2, 3, *size, dtype=torch.float64)
    weight = np.stack([naive_weights(target[n].numpy(), superpixels[n], 3, 4, weighting, 1.5) for n in range(2)])
    picked = torch.where(target == 255, 0, target)[:, None]
    ce = -logits.log_softmax(1).gather(1, picked)[:, 0].numpy() * (target != 255).numpy()
    options = {"weighting": weighting, "gamma": 1.5}
    superpixels = Superpixels(superpixels, 4)
    got = superpixel_consistency_loss(logits, target, superpixels, reduction="none", **options)
    np.testing.assert_allclose(got.numpy(), weight * ce, atol=1e-12)
    got = superpixel_consistency_loss(logits, target, superpixels, **options).item()
    assert got == pytest.approx((weight * ce).sum() / max(weight.sum(), 1e-300), rel=1e-12)
    got = superpixel_consistency_loss(logits, target, superpixels, reduction="sum", **options).item()
    assert got == pytest.approx((weight * ce).sum(), rel=1e-12)


def test_a_lone_wrong_label_counts_little():
    labels = torch.zeros(1, 10, 10, dtype=torch.long)
    target = torch.zeros(1, 10, 10, dtype=torch.long)
    target[0, 5, 5] = 1
    losses = superpixel_consistency_loss(torch.zeros(1, 2, 10, 10), target, labels, reduction="none")
    assert losses[0, 5, 5].item() == pytest.approx(0.01 * math.log(2))
    assert losses[0, 0, 0].item() == pytest.approx(0.99 * math.log(2))


def test_uniform_superpixels_give_plain_cross_entropy():
    logits, target = torch.randn(2, 4, 12, 12), torch.randint(0, 4, (2, 1, 1)).expand(2, 12, 12).contiguous()
    target[:, 0] = 255
    expected = F.cross_entropy(logits, target, ignore_index=255)
    for superpixels in (association(2, 12, 12, 4, torch.float32), torch.zeros(2, 12, 12, dtype=torch.int32)):
        for weighting in WEIGHTINGS:
            got = superpixel_consistency_loss(logits, target, Superpixels(superpixels, 4), weighting=weighting)
            torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("n", [0, 2])
def test_no_label_gives_zero_with_a_graph(reduction, n):
    logits = torch.randn(n, 3, 8, 8, requires_grad=True)
    target = torch.full((n, 8, 8), 255)
    loss = superpixel_consistency_loss(logits, target, Superpixels(association(n, 8, 8, 4), 4), reduction=reduction)
    assert (loss == 0).all() and loss.shape == ((n, 8, 8) if reduction == "none" else ())
    loss.sum().backward()
    assert (logits.grad == 0).all()


@pytest.mark.parametrize("superpixels", [association(1, 6, 5, 3), torch.randint(0, 4, (1, 6, 5))])
def test_gradient(superpixels):
    target = torch.randint(0, 2, (1, 6, 5))
    target[0, 0] = 255
    logits = torch.randn(1, 2, 6, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([0.3, 2.0])
    assert gradcheck(
        lambda v: superpixel_consistency_loss(v, target, Superpixels(superpixels, 3), class_weight=weight), logits
    )


def test_class_weight_scales_classes():
    logits, target = torch.randn(1, 3, 8, 8), torch.randint(0, 3, (1, 8, 8))
    q = association(1, 8, 8, 4)
    plain = superpixel_consistency_loss(logits, target, Superpixels(q, 4), reduction="none")
    weight = torch.tensor([1.0, 0.0, 3.0])
    got = superpixel_consistency_loss(logits, target, Superpixels(q, 4), class_weight=weight, reduction="none")
    torch.testing.assert_close(got, plain * weight[target])


def test_the_mean_is_one_of_small_weights_too():
    logits, target = torch.randn(1, 3, 8, 8), torch.randint(0, 3, (1, 8, 8))
    labels = torch.zeros(1, 8, 8, dtype=torch.long)
    plain = superpixel_consistency_loss(logits, target, labels, gamma=12.0, reduction="none").double()
    fraction = F.one_hot(target, 3).double().mean((0, 1, 2))[target]
    weight = fraction**12
    assert weight.sum() < 1e-3
    got = superpixel_consistency_loss(logits, target, labels, gamma=12.0)
    torch.testing.assert_close(got.double(), plain.sum() / weight.sum(), rtol=1e-5, atol=0)


def test_no_gradient_flows_into_weights():
    weight, q = torch.ones(3, requires_grad=True), association(1, 8, 8, 4).requires_grad_()
    arguments = torch.zeros(1, 8, 8, dtype=torch.long), Superpixels(q, 4)
    assert not superpixel_consistency_loss(torch.rand(1, 3, 8, 8), *arguments, class_weight=weight).requires_grad


def test_logits_follow_the_superpixels_and_marks_survive():
    logits, q = torch.randn(1, 3, 4, 4), association(1, 16, 16, 4, torch.float32)
    target = torch.randint(0, 3, (1, 16, 16))
    up = F.interpolate(logits, (16, 16), mode="bilinear")
    expected = superpixel_consistency_loss(up, target, Superpixels(q, 4))
    torch.testing.assert_close(superpixel_consistency_loss(logits, target, Superpixels(q, 4)), expected)
    large = target.repeat_interleave(2, 1).repeat_interleave(2, 2)
    torch.testing.assert_close(superpixel_consistency_loss(logits, large, Superpixels(q, 4)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype):
    logits, q = torch.randn(1, 3, 16, 16), association(1, 16, 16, 4, torch.float32)
    target = torch.randint(0, 3, (1, 16, 16))
    got = superpixel_consistency_loss(logits.to(dtype), target, Superpixels(q.to(dtype), 4))
    assert got.dtype == torch.float32
    torch.testing.assert_close(
        got, superpixel_consistency_loss(logits, target, Superpixels(q, 4)), rtol=0.02, atol=0.02
    )


def test_module_and_compile():
    logits, target = torch.randn(1, 3, 16, 16, requires_grad=True), torch.randint(0, 3, (1, 16, 16))
    q = association(1, 16, 16, 4, torch.float32)
    criterion = nn.SuperpixelConsistencyLoss(gamma=2.0, class_weight=torch.ones(3))
    expected = superpixel_consistency_loss(logits, target, Superpixels(q, 4), gamma=2.0)
    torch.testing.assert_close(criterion(logits, target, Superpixels(q, 4)), expected)
    compiled = torch.compile(criterion, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(logits, target, Superpixels(q, 4)), expected)
    assert "class_weight" in criterion.state_dict() and "gamma=2.0" in repr(criterion)


def test_labels_of_any_size_are_names():
    logits, target, labels = torch.randn(2, 3, 6, 5), torch.randint(0, 3, (2, 6, 5)), torch.randint(0, 4, (2, 6, 5))
    names = torch.tensor([2**62, 5, 10**10, 2**24])[labels]
    for weighting in WEIGHTINGS:
        expected = superpixel_consistency_loss(logits, target, labels, weighting=weighting)
        torch.testing.assert_close(superpixel_consistency_loss(logits, target, names, weighting=weighting), expected)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("value", [5.0, torch.nan])
def test_weights_outside_the_grid_do_not_count(weighting, value):
    q = association(1, 10, 9, 4)
    logits, target = torch.randn(1, 3, 10, 9), torch.randint(0, 3, (1, 10, 9))
    expected = superpixel_consistency_loss(logits, target, Superpixels(q, 4), weighting=weighting)
    q = q.clone()
    q[:, :3, :4], q[:, 6:, 8:], q[:, ::3, :, :4], q[:, 2::3, :, 8:] = (torch.tensor(value),) * 4
    got = superpixel_consistency_loss(logits, target, Superpixels(q, 4), weighting=weighting)
    torch.testing.assert_close(got, expected)


def test_with_slic_of_scikit_image():
    image = torch.rand(2, 3, 24, 24)
    logits = torch.randn(2, 3, 24, 24, requires_grad=True)
    superpixel_consistency_loss(logits, torch.randint(0, 3, (2, 24, 24)), slic(image, cell_size=8)).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_error_names_logits_of_unlabelled_pixels(value):
    """They do not count in the loss, but would make the gradient NaN."""
    target = torch.zeros(1, 8, 8, dtype=torch.long)
    target[0, :2] = 255
    logits = torch.zeros(1, 3, 8, 8)
    logits[0, 2] = -torch.inf  # a class that is left out
    right = logits.clone().requires_grad_()
    superpixel_consistency_loss(right, target, torch.zeros_like(target)).backward()
    assert torch.isfinite(right.grad).all()
    logits[0, 1, 0, 0] = value
    with pytest.raises(ValueError, match="superpixel_consistency_loss: logits must be finite, got"):
        superpixel_consistency_loss(logits, target, torch.zeros_like(target))


LOGITS, TARGET, Q = torch.randn(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.long), association(2, 8, 8, 4)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((LOGITS[0], TARGET, Q), {}, r"logits must be \(N, C, H, W\)"),
        ((LOGITS, TARGET + 3, Q), {}, r"target must hold classes in \[0, 3\)"),
        ((LOGITS, TARGET.float(), Q), {}, "target must be an integer tensor"),
        ((LOGITS, TARGET, Q[:1]), {}, "superpixels must be of 2 images"),
        ((LOGITS, TARGET, Q[:, :3]), {}, r"superpixels.assignment must be soft \(N, 9, H, W\)"),
        ((LOGITS, TARGET, torch.full_like(Q, 1 / 9)), {}, "superpixels.assignment must add up to 1"),
        ((LOGITS, TARGET, TARGET - 1), {}, "superpixels must hold labels >= 0"),
        ((LOGITS * torch.nan, TARGET, Q), {}, "logits must be finite, got NaN"),
        ((LOGITS, TARGET, Q), {"gamma": 0}, "gamma must be a finite number > 0"),
        ((LOGITS, TARGET, Q), {"weighting": "entropy"}, "weighting must be one of 'agreement', 'majority', 'purity'"),
        ((LOGITS, TARGET, Q), {"reduction": "max"}, "reduction must be one of"),
        ((LOGITS, TARGET, Q), {"ignore_index": 0}, "ignore_index must not be a class"),
        ((LOGITS, TARGET, Q), {"class_weight": torch.ones(2)}, r"class_weight must be \(C,\) = \(3,\)"),
        ((LOGITS, TARGET, Q), {"class_weight": -torch.ones(3)}, "class_weight must be >= 0"),
        ((LOGITS, TARGET, Q), {"class_weight": [1.0]}, "class_weight must be a tensor, got list"),
    ],
)
def test_errors(arguments, options, message):
    with pytest.raises((TypeError, ValueError), match=f"superpixel_consistency_loss: {message}"):
        superpixel_consistency_loss(*arguments[:2], gridded(arguments[2]), **options)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_an_empty_batch_of_small_logits(hard, reduction):
    superpixels = torch.zeros(0, 12, 16, dtype=torch.long) if hard else association(0, 12, 16, 4)
    logits, target = torch.zeros(0, 3, 3, 4, requires_grad=True), torch.zeros(0, 24, 32, dtype=torch.long)
    arguments = target, gridded(superpixels)
    loss = superpixel_consistency_loss(logits, *arguments, reduction=reduction)
    assert loss.requires_grad and loss.shape == ((0, 12, 16) if reduction == "none" else ())
    assert loss.sum() == 0
