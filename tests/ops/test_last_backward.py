"""The backward pass of the loss writes into the gradient that the forward pass saved, where nobody reads it again."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from closedform_wsss import _ops
from closedform_wsss._ops import _last_backward
from closedform_wsss.functional import closed_form_loss

WEIGHT = torch.tensor([3.0, 0.7])
needs_torch = pytest.mark.skipif(
    _last_backward._keeps_graph is None
    or _last_backward._saving_hooks is None
    or _last_backward._dispatch_keys is None,
    reason="this release of torch does not say whether a graph is kept",
)


def problem(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, int]]]:
    """Logits; the loss of each image, and where the operator has left its gradient."""
    stencil, _ = _ops.matting_stencil(torch.rand(2, 3, 6, 7, dtype=dtype), 1e-4, False)
    target = torch.where(torch.rand(2, 6, 7) < 0.3, torch.randint(4, (2, 6, 7)), 255)
    weight = torch.ones(2, 4, dtype=dtype)

    def loss(x: Tensor) -> tuple[Tensor, int]:
        value, gradient = _ops.matting_loss(stencil, None, x, target, weight, 100.0, 255, False, "softmax", True)
        return value, gradient.data_ptr()

    return torch.randn(2, 4, 6, 7, dtype=dtype, requires_grad=True), loss


def expected(x: Tensor, loss: Callable[[Tensor], tuple[Tensor, int]]) -> Tensor:
    """The gradient, by a pass that may not overwrite anything."""
    return torch.autograd.grad(loss(x)[0] @ WEIGHT.to(x.dtype), x, retain_graph=True)[0]


@needs_torch
def test_a_last_pass_takes_no_new_memory():
    x, loss = problem()
    value, address = loss(x)
    (value @ WEIGHT).backward()
    assert x.grad.data_ptr() == address and not x.grad.requires_grad
    assert torch.equal(x.grad, expected(x, loss))
    with pytest.raises(RuntimeError, match="second time"):
        (value @ WEIGHT).backward()


def test_the_graph_is_kept():
    x, loss = problem()
    value, address = loss(x)
    total = value @ WEIGHT
    total.backward(retain_graph=True)
    first = x.grad.clone()
    assert x.grad.data_ptr() != address
    x.grad.zero_()  # as an optimiser or clipping might
    total.backward(retain_graph=True)
    assert torch.equal(x.grad, first)
    x.grad = None
    total.backward()
    assert torch.equal(x.grad, first)


def test_the_pass_is_recorded():
    x, loss = problem(torch.float64)
    for retain_graph in (True, False):
        value, address = loss(x)
        (gradient,) = torch.autograd.grad(value.sum(), x, create_graph=True, retain_graph=retain_graph)
        assert gradient.requires_grad and gradient.data_ptr() != address
        assert torch.equal(gradient, torch.autograd.grad(loss(x)[0].sum(), x, retain_graph=True)[0])


def test_hooks_that_keep_what_was_saved():
    x, loss = problem()
    kept: list[tuple[Tensor, Tensor]] = []

    def pack(saved: Tensor) -> Tensor:
        kept.append((saved, saved.clone()))
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        value, _ = loss(x)
    (value @ WEIGHT).backward()
    assert kept and all(torch.equal(now, before) for now, before in kept)
    assert torch.equal(x.grad, expected(x, loss))


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_gradient_checkpointing(use_reentrant):
    x, loss = problem()
    value = checkpoint(lambda v: loss(v)[0], x, use_reentrant=use_reentrant)
    (value @ WEIGHT).backward()
    assert torch.equal(x.grad, expected(x, loss))


def test_saved_on_the_host():
    x, loss = problem()
    with torch.autograd.graph.save_on_cpu():
        value, _ = loss(x)
    (value @ WEIGHT).backward()
    assert torch.equal(x.grad, expected(x, loss))


def test_many_passes_at_a_time():
    """vmap over the backward pass of a graph that is not kept."""
    x, loss = problem()
    (both,) = torch.autograd.grad(loss(x)[0], x, torch.eye(2), is_grads_batched=True)
    for k in range(2):
        assert torch.equal(both[k], torch.autograd.grad(loss(x)[0], x, torch.eye(2)[k], retain_graph=True)[0])


def test_without_the_private_interfaces_nothing_is_overwritten(monkeypatch):
    for name in ("_keeps_graph", "_saving_hooks", "_dispatch_keys"):
        x, loss = problem()
        with monkeypatch.context() as patch:
            patch.setattr(_last_backward, name, None)
            value, address = loss(x)
            (value @ WEIGHT).backward()
        assert x.grad.data_ptr() != address
        assert torch.equal(x.grad, expected(x, loss))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gradients_in_half_precision_are_scaled_in_float32(dtype):
    """So that the factor of a GradScaler still finds what is too small for float16."""
    target, image = torch.full((1, 64, 64), 255), torch.rand(1, 3, 64, 64)
    target[:, 3] = 1
    x = torch.randn(1, 3, 64, 64).to(dtype).requires_grad_()
    (closed_form_loss(x, target, image, scale=1) * 2.0**14).backward()
    single = x.detach().float().requires_grad_()
    (closed_form_loss(single, target, image, scale=1) * 2.0**14).backward()
    assert x.grad.dtype == dtype and torch.equal(x.grad, single.grad.to(dtype))
