"""What gpu.py times: an operation, its reference implementation, and the fewest bytes that it can move."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from common.asam import CELL, STEPS, plain_asam
from common.inputs import logits, marks, photo
from torch import Tensor

from closedform_wsss import _ops, _reference, functional
from closedform_wsss._common.stencil_layout import stencil_planes
from closedform_wsss.io import IGNORE_INDEX

CONFIDENCE, EPS = 100.0, 1e-7
FLOAT, MARK = 4, 8  # bytes
FILTERED = (90, 120)  # of the predictions in a step of self-training


@dataclass
class Case:
    """``run`` and ``plain`` give a tensor each, which must agree; ``bytes`` is the fewest that it can move."""

    name: str
    run: Callable[[], Tensor]
    plain: Callable[[], Tensor] | None = None
    bytes: int | None = None


def _with_gradient(x: Tensor, loss: Callable[[], Tensor]) -> Tensor:
    """Forward and backward; the gradient."""
    x.grad = None
    loss().backward()
    assert x.grad is not None
    return x.grad


def _plain_loss(scores: Tensor, target: Tensor, images: Tensor, weight: Tensor, residual: bool) -> Tensor:
    stencil, _ = _reference.matting_stencil(images, EPS, False)
    options = (CONFIDENCE, IGNORE_INDEX, residual, "softmax", False)
    loss, _ = _reference.matting_loss(stencil, None, scores, target, weight, *options)
    return loss.mean()


def _first(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    return result[0] if isinstance(result, tuple) else result


def _plain_soft_slic(images: Tensor) -> Tensor:
    """The same function with the reference implementations of the operators."""
    with mock.patch.object(importlib.import_module("closedform_wsss.functional.soft_slic"), "_ops", _reference):
        return functional.soft_slic(images, cell_size=CELL).assignment


def matting(n: int, classes: int, size: int, device: torch.device) -> list[Case]:
    """The Laplacian and the loss."""
    images, target = photo(size, size, n).to(device), marks(n, classes, size, size).to(device)
    scores = logits(n, classes, size, size).to(device)
    x, stencil = scores.softmax(1), _ops.matting_stencil(images, EPS, False)[0]
    scores.requires_grad_()
    weight = torch.ones(n, classes, device=device)
    pixels = n * size * size
    maps, planes, labels = FLOAT * classes * pixels, 12 * FLOAT * pixels, MARK * pixels
    picture = 3 * FLOAT * pixels

    def operator(residual: bool, module: Any) -> Tensor:
        options = (CONFIDENCE, IGNORE_INDEX, residual, "softmax", True)
        return module.matting_loss(stencil, None, scores.detach(), target, weight, *options)[1]

    cases = [
        Case(
            "set-up of the Laplacian",
            # The planes: the columns that pad their rows need not agree.
            lambda: stencil_planes(_ops.matting_stencil(images, EPS, False)[0], size),
            lambda: stencil_planes(_reference.matting_stencil(images, EPS, False)[0], size),
            picture + planes,
        ),
        Case(
            "product",
            lambda: _ops.matting_product(stencil, x, None),
            lambda: _reference.matting_product(stencil, x, None),
            2 * maps + planes,
        ),
    ]
    # The labels of a step of self-training: predictions at half of each side, 15 iterations.
    h, w = FILTERED
    small = _ops.matting_stencil(photo(h, w, n).to(device), EPS, False)[0]
    p = logits(n, classes, h, w).to(device).softmax(1)
    system = (small, torch.full((n, h, w), 0.03, device=device), 0.03 * p, p, 0.0, 15, 5, 8, 0.5, 0.98)
    cases.append(
        Case(
            "matting filter: 15 iterations in one launch",
            lambda: _ops.matting_cg(*system)[0],
            lambda: _reference.matting_cg(*system)[0],
            15 * FLOAT * n * h * w * (12 + 7 * classes),
        )
    )
    for form in ("energy", "residual"):
        residual = form == "residual"
        cases += [
            Case(
                f"loss, {form}: value and gradient of the logits in one sweep",
                lambda residual=residual: operator(residual, _ops),
                lambda residual=residual: operator(residual, _reference),
                2 * maps + planes + labels,
            ),
            Case(
                f"closed_form_loss, {form}, softmax and set-up included: forward and backward",
                lambda form=form: _with_gradient(
                    scores, lambda: functional.closed_form_loss(scores, target, images, form=form, eps=EPS, scale=1)
                ),
                lambda residual=residual: _with_gradient(
                    scores, lambda: _plain_loss(scores, target, images, weight, residual)
                ),
                2 * maps + picture + labels,
            ),
        ]
    return cases


def superpixels(n: int, classes: int, size: int, device: torch.device) -> list[Case]:
    """Soft superpixels and ASAM."""
    images = photo(size, size, n).to(device)
    superpixels = functional.soft_slic(images, cell_size=CELL)
    q = superpixels.assignment
    x = torch.rand(n, classes, size, size, generator=torch.Generator().manual_seed(0)).to(device)
    affinity, s = functional.asam_affinity(superpixels), functional.superpixel_pool(x, superpixels)
    pixels = n * size * size
    maps, association = FLOAT * classes * pixels, 9 * FLOAT * pixels
    centers = functional.superpixel_pool(images, superpixels)
    pairs: dict[str, tuple[str, tuple[Any, ...], int]] = {
        "pool": ("superpixel_pool", (x, q, CELL), maps + association),
        "unpool": ("superpixel_unpool", (s, q, CELL), maps + association),
        "dot": ("superpixel_dot", (x, s, CELL), maps + association),
        "assign, 3 features": ("superpixel_assign", (images, centers, CELL), 3 * FLOAT * pixels + association),
        "update, 3 features": ("superpixel_update", (images, centers, CELL), 3 * FLOAT * pixels),
        "affinity of ASAM": ("asam_affinity", (q, CELL), association),
        f"{STEPS} steps of ASAM": (
            "asam_steps",
            (affinity, s, STEPS, 1.0, 0.0, False, False),
            FLOAT * STEPS * (affinity.numel() + 2 * s.numel()),
        ),
    }
    cases = [
        Case(
            name,
            lambda operator=operator, arguments=arguments: _first(getattr(_ops, operator)(*arguments)),
            lambda operator=operator, arguments=arguments: _first(getattr(_reference, operator)(*arguments)),
            minimum,
        )
        for name, (operator, arguments, minimum) in pairs.items()
    ]
    return [
        *cases,
        Case(
            f"asam, {STEPS} steps",
            lambda: functional.asam(x, superpixels, num_iters=STEPS),
            lambda: plain_asam(x, q),
            2 * maps + association,
        ),
        Case(
            "soft_slic, 5 iterations",
            lambda: functional.soft_slic(images, cell_size=CELL).assignment,
            lambda: _plain_soft_slic(images),
            3 * FLOAT * pixels + association,
        ),
    ]


def solver(classes: int, height: int, width: int, device: torch.device) -> list[Case]:
    """One large image."""
    image, target = photo(height, width).to(device), marks(1, classes, height, width).to(device)
    return [Case("solve_matting", lambda: functional.solve_matting(target, image, num_classes=classes).alpha)]


def graph(n: int, classes: int, size: int, device: torch.device) -> list[Case]:
    """The loss, forward and backward, replayed as a CUDA graph: what the device alone needs. None on a CPU."""
    if device.type != "cuda":
        return []
    images, target = photo(size, size, n).to(device), marks(n, classes, size, size).to(device)
    scores = logits(n, classes, size, size).to(device).requires_grad_()

    def step() -> Tensor:
        return _with_gradient(
            scores, lambda: functional.closed_form_loss(scores, target, images, form="residual", eps=EPS, scale=1)
        )

    expected = step().clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(stream)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        gradient = step()

    def replay() -> Tensor:
        captured.replay()
        return gradient

    assert torch.equal(replay(), expected), "the replayed graph gives other values than the same calls one by one"
    pixels = n * size * size
    minimum = 2 * FLOAT * classes * pixels + 3 * FLOAT * pixels + MARK * pixels
    return [Case("closed_form_loss, residual, forward and backward, as a CUDA graph", replay, None, minimum)]


def _small_network(classes: int) -> torch.nn.Module:
    layers: list[torch.nn.Module] = []
    before = 3
    for width in (32, 64, 128):
        layers += [torch.nn.Conv2d(before, width, 3, 2, 1, bias=False), torch.nn.BatchNorm2d(width), torch.nn.ReLU()]
        before = width
    return torch.nn.Sequential(*layers, torch.nn.Conv2d(before, classes, 1))


def network(classes: int, large: bool) -> tuple[str, torch.nn.Module]:
    """DeepLabV3 on ResNet-50 if torchvision is here, otherwise three convolutions."""
    if large:
        try:
            from torchvision.models.segmentation import deeplabv3_resnet50
        except ImportError:
            pass
        else:
            model = deeplabv3_resnet50(weights=None, weights_backbone=None, num_classes=classes, aux_loss=False)
            return "DeepLabV3 on ResNet-50 (torchvision)", model
    text = "a small network: three convolutions of stride 2 with 32, 64 and 128 channels, batch norm, ReLU"
    return text, _small_network(classes)


def training(n: int, classes: int, size: int, device: torch.device, large: bool) -> list[Case]:
    """A step of stochastic gradient descent without and with the loss."""
    name, model = network(classes, large)
    model = model.to(device).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    images, target = photo(size, size, n).to(device), marks(n, classes, size, size).to(device)

    def step(with_loss: bool) -> Tensor:
        optimizer.zero_grad(set_to_none=True)
        found = model(images)
        scores = found["out"] if isinstance(found, dict) else found
        scores = F.interpolate(scores, (size, size), mode="bilinear", align_corners=False)
        loss = F.cross_entropy(scores, target, ignore_index=IGNORE_INDEX)
        if with_loss:
            loss = loss + functional.closed_form_loss(scores, target, images, scale=1)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return [
        Case(f"training step of {name}, cross-entropy", lambda: step(False)),
        Case("the same with closed_form_loss, energy", lambda: step(True)),
    ]
