"""The losses and refiners with what a training loop puts around them. ``torch.compile`` in one graph is tested beside
each function."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from helpers import two_processes
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import closedform_wsss
from closedform_wsss import Superpixels, functional
from closedform_wsss.nn import (
    ASAM,
    ClosedFormLoss,
    DenseCRF,
    DenseCRFLoss,
    MattingFilter,
    SoftSLIC,
    SuperpixelConsistencyLoss,
)

N, C, H, W, CELL = 2, 3, 16, 20, 4
HALF = [torch.float16, torch.bfloat16]


def problem() -> tuple[Tensor, Tensor, Tensor, Superpixels]:
    """Logits, marks, image and superpixels."""
    torch.manual_seed(0)
    marks = torch.full((N, H, W), 255)
    marks[:, 3, 3:9], marks[:, 10, 3:9] = 0, 1
    image = torch.rand(N, 3, H, W)
    return torch.randn(N, C, H, W), marks, image, functional.soft_slic(image, cell_size=CELL)


LOGITS, MARKS, IMAGE, SUPERPIXELS = problem()
# What a network's output goes through on its way to a scalar.
LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "residual": lambda logits: ClosedFormLoss.paper()(logits, MARKS, IMAGE),
    "energy": lambda logits: ClosedFormLoss()(logits, MARKS, IMAGE),
    "superpixels": lambda logits: SuperpixelConsistencyLoss()(logits, MARKS, SUPERPIXELS),
    "matting_filter": lambda logits: MattingFilter()(logits.softmax(1), IMAGE).square().mean(),
    "dense_crf": lambda logits: DenseCRFLoss(position_sigma=9, color_sigma=0.3)(logits, IMAGE),
    "asam": lambda logits: ASAM()(logits.softmax(1), SUPERPIXELS).square().mean(),
}
NO_FUNC_GRAD = ("residual", "energy", "asam")
# There torch.func wraps the image too, and the operator that builds the lattice cannot read it: an error of torch.
LATTICE_UNREADABLE = torch.__version__ < "2.9" and "dense_crf"
each = pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())


def gradient(loss: Callable[[Tensor], Tensor]) -> Tensor:
    logits = LOGITS.clone().requires_grad_()
    return torch.autograd.grad(loss(logits), logits)[0]


# --- mixed precision --------------------------------------------------------------------------------------------------


@each
@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("size", [1e4, torch.finfo(torch.float16).max])
def test_extreme_logits_in_half_precision(loss, dtype, size):
    logits = (LOGITS.sign() * size).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype):
        value = loss(logits)
    value.backward()
    assert value.dtype == torch.float32
    assert value.isfinite() and logits.grad.isfinite().all()


@each
def test_grad_scaler(loss):
    """A step is skipped where the scaled gradient overflows float16, and then the scale fits."""
    net = nn.Conv2d(3, C, 3, padding=1)
    before = net.weight.detach().clone()
    optimizer, scaler = torch.optim.SGD(net.parameters(), 1e-2), torch.amp.GradScaler("cpu")
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            value = loss(net(IMAGE))
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
    assert net.weight.isfinite().all() and not torch.equal(net.weight, before)


REFINERS: dict[str, Callable[[Tensor], Tensor]] = {
    "soft_slic": lambda image: functional.soft_slic(image, cell_size=CELL).assignment,
    "solve_matting": lambda image: functional.solve_matting(MARKS, image).alpha,
    "solve_matting, radius 2": lambda image: functional.solve_matting(MARKS, image, radius=2).alpha,
    "matting_filter": lambda image: functional.matting_filter(LOGITS, image),
    "matting_filter, radius 2": lambda image: functional.matting_filter(LOGITS, image, radius=2, fidelity=0.1),
    "dense_crf": lambda image: functional.dense_crf(LOGITS.sigmoid(), image),
    "refine_cam": lambda image: functional.refine_cam(LOGITS.sigmoid(), image),
    "calibrate_cam": lambda image: functional.calibrate_cam(LOGITS.sigmoid(), image),
}


@pytest.mark.parametrize("refiner", REFINERS.values(), ids=REFINERS.keys())
@pytest.mark.parametrize("dtype", HALF)
def test_autocast_changes_no_refiner(refiner, dtype):
    """Products in half precision would break the colours of the superpixels and the solver's conjugate gradients."""
    expected = refiner(IMAGE)
    with torch.autocast("cpu", dtype):
        assert torch.equal(refiner(IMAGE), expected)


@each
def test_backward_inside_autocast(loss):
    expected = gradient(loss)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(gradient(loss), expected)


# --- the same gradient, however it is asked for -----------------------------------------------------------------------


@each
def test_gradient_checkpointing(loss):
    assert torch.equal(gradient(lambda v: checkpoint(loss, v, use_reentrant=False)), gradient(loss))


@each
def test_deterministic_algorithms(loss):
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.equal(gradient(loss), gradient(loss))
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("name", LOSSES)
def test_func_grad(name):
    """torch has no ``torch.func.grad`` of operators whose derivative Python registers; it must say so, not be wrong."""
    if name == LATTICE_UNREADABLE:
        with pytest.raises(RuntimeError, match="Cannot access data pointer"):
            torch.func.grad(LOSSES[name])(LOGITS)
    elif name in NO_FUNC_GRAD:
        with pytest.raises(RuntimeError, match="functorch transforms"):
            torch.func.grad(LOSSES[name])(LOGITS)
    else:
        torch.testing.assert_close(torch.func.grad(LOSSES[name])(LOGITS), gradient(LOSSES[name]))


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "superpixels"])
def test_forward_mode_is_refused(name):
    """torch by itself would give a derivative of zero."""
    error, message = NotImplementedError, r"forward.mode"
    if name == LATTICE_UNREADABLE:
        error, message = RuntimeError, "data pointer"
    with pytest.raises(error, match=message):
        torch.func.jvp(LOSSES[name], (LOGITS,), (torch.ones_like(LOGITS),))


def test_forward_mode_of_plain_torch():
    tangent = torch.randn_like(LOGITS)
    _, slope = torch.func.jvp(LOSSES["superpixels"], (LOGITS,), (tangent,))
    torch.testing.assert_close(slope, (gradient(LOSSES["superpixels"]) * tangent).sum())


def test_jacobian():
    logits = LOGITS[:, :, :4, :5].contiguous()
    marks, image = MARKS[:, :4, :5], IMAGE[:, :, :4, :5]
    rows = torch.autograd.functional.jacobian(
        lambda v: closedform_wsss.functional.closed_form_loss(v, marks, image, reduction="none"),
        logits,
    )
    assert rows.shape == (N, *logits.shape) and not rows[0, 1].any()
    leaf = logits.clone().requires_grad_()
    ClosedFormLoss(reduction="sum")(leaf, marks, image).backward()
    torch.testing.assert_close(rows.sum(0), leaf.grad)


@pytest.fixture
def no_value_checks():
    """They read values, which ``vmap`` cannot."""
    closedform_wsss.set_value_checks(False)
    yield
    closedform_wsss.set_value_checks(None)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap(no_value_checks):
    losses = torch.vmap(lambda *v: ClosedFormLoss()(*(x[None] for x in v)))(LOGITS, MARKS, IMAGE)
    torch.testing.assert_close(losses, ClosedFormLoss(reduction="none")(LOGITS, MARKS, IMAGE))
    maps = torch.vmap(lambda x, q: ASAM()(x[None], Superpixels(q[None], CELL))[0])(LOGITS, SUPERPIXELS.assignment)
    torch.testing.assert_close(maps, ASAM()(LOGITS, SUPERPIXELS))


# --- graphs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (ASAM(), (LOGITS, SUPERPIXELS)),
        (SoftSLIC(cell_size=CELL), (IMAGE,)),
        (ClosedFormLoss(), (LOGITS, MARKS, IMAGE)),
        (SuperpixelConsistencyLoss(), (LOGITS, MARKS, SUPERPIXELS)),
        (MattingFilter(), (LOGITS, IMAGE)),
        (DenseCRF(), (LOGITS.sigmoid(), IMAGE)),
        (DenseCRFLoss(), (LOGITS, IMAGE)),
    ],
    ids=[
        *("asam", "soft_slic", "closed_form_loss", "superpixel_consistency_loss", "matting_filter"),
        *("dense_crf", "dense_crf_loss"),
    ],
)
def test_export(module, inputs, strict):
    program = torch.export.export(module, inputs, strict=strict)
    torch.testing.assert_close(program.module()(*inputs), module(*inputs))


def superpixels_of(image: Tensor, labels: Tensor) -> Tensor:
    """All three on one image, since superpixels must have its size."""
    superpixels = functional.soft_slic(image, cell_size=CELL)
    return SuperpixelConsistencyLoss()(ASAM()(image, superpixels), labels, superpixels)


@pytest.mark.slow
def test_compiles_for_any_size():
    compiled = torch.compile(superpixels_of, fullgraph=True, dynamic=True, backend="aot_eager")
    for size in ((16, 20), (12, 27)):
        image, labels = torch.rand(1, 3, *size), torch.randint(0, 3, (1, *size))
        torch.testing.assert_close(compiled(image, labels), superpixels_of(image, labels))


# --- several processes ------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available() or sys.platform == "win32", reason="no gloo here")
@pytest.mark.parametrize("kind", [two_processes.DDP, two_processes.FSDP])
def test_two_processes_give_the_gradient_of_the_whole_batch(kind, tmp_path):
    if kind == two_processes.FSDP:
        fsdp = pytest.importorskip("torch.distributed.fsdp")
        if not hasattr(fsdp, "fully_shard") or not hasattr(torch.cpu.current_stream(), "record_event"):
            pytest.skip("this torch has no fully_shard for the CPU")
        if torch.__version__ < "2.9":
            pytest.skip("fully_shard of torch 2.8 adds the gradients of any loss on the CPU: their mean is wanted")
    batch = (IMAGE, MARKS, MARKS.clamp(max=2))
    net = two_processes.network()
    two_processes.loss_of(net, *batch).backward()
    torch.multiprocessing.spawn(two_processes.step, (kind, str(tmp_path), batch), nprocs=2)
    found = torch.load(tmp_path / f"{kind}.pt", weights_only=True)
    for ours, whole in zip(found, two_processes.gradients(net), strict=True):
        torch.testing.assert_close(ours, whole)
