"""A training step never waits for the device: on the meta device, which holds no values, whatever reads one fails.

That is also what CUDA graphs ask for.
"""

import sys
import tempfile

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from closedform_wsss import MattingLaplacian, Superpixels, _reference
from closedform_wsss import functional as F
from closedform_wsss.training import PseudoLabeler, SelfTrainingLoss

N, C, H, W = 2, 5, 24, 32
STEPS = {}


def step(function):
    STEPS[function.__name__] = function
    return function


def meta(*shape, dtype=torch.float32):
    return torch.empty(*shape, device="meta", dtype=dtype)


def inputs(dtype=torch.float32):
    logits = meta(N, C, H, W, dtype=dtype).requires_grad_()
    return logits, meta(N, H, W, dtype=torch.int64), meta(N, 3, H, W)


@step
def closed_form_loss_residual():
    logits, target, image = inputs()
    return F.closed_form_loss(logits, target, image), logits


@step
def closed_form_loss_energy_in_half_precision():
    logits, target, _ = inputs(torch.float16)
    image = meta(N, 3, 2 * H, 2 * W, dtype=torch.uint8)
    target = meta(N, 2 * H, 2 * W, dtype=torch.int64)
    loss = F.closed_form_loss(
        logits, target, image, form="energy", class_weight=meta(C), class_present=meta(N, C, dtype=torch.bool)
    )
    return loss, logits


@step
def closed_form_loss_large_windows():
    logits, target, image = inputs()
    return F.closed_form_loss(logits, target, image, radius=2, activation="sigmoid", reduction="none").sum(), logits


@step
def dense_crf_loss():
    logits, _, image = inputs()
    return F.dense_crf_loss(logits, image), logits


@step
def superpixel_consistency_loss():
    logits, target, image = inputs()
    return F.superpixel_consistency_loss(logits, target, F.soft_slic(image, cell_size=8)), logits


@step
def superpixel_reconstruction_loss():
    q = meta(N, 9, H, W).requires_grad_()
    return F.superpixel_reconstruction_loss(Superpixels(q.softmax(1), 8), meta(N, 3, H, W)), q


@step
def mark_loss():
    logits, target, image = inputs()
    return F.mark_loss(logits, target, image), logits


@step
def absent_class_loss():
    logits, *_ = inputs()
    return F.absent_class_loss(logits, meta(N, C, dtype=torch.bool)), logits


@step
def multi_label_loss():
    logits = meta(N, C).requires_grad_()
    return F.multi_label_loss(logits, meta(N, C)), logits


@step
def asam():
    logits, _, image = inputs()
    return F.asam(logits.softmax(1), F.soft_slic(image, cell_size=8), num_iters=3).sum(), logits


@step
def asam_through_its_superpixels():
    image = meta(N, 3, H, W).requires_grad_()
    return F.asam(meta(N, C, H, W), F.soft_slic(image, cell_size=8), num_iters=3).sum(), image


@step
def soft_superpixels():
    image = meta(N, 3, H, W).requires_grad_()
    return F.superpixel_pool(image, F.soft_slic(image, cell_size=8)).sum(), image


@step
def quadratic_form():
    logits, _, image = inputs()
    return MattingLaplacian(image).quadratic_form(logits).sum(), logits


@step
def matting_filter_of_fixed_steps():
    logits, target, image = inputs()
    return F.matting_filter(logits.softmax(1), image, target=target, num_iters=20).sum(), logits


@step
def self_training_loss_between_its_rounds():
    logits, target, image = inputs()
    with logits.device:  # moving it there would wait
        criterion = SelfTrainingLoss(C, 100)
    criterion.rounds_done = 2
    return criterion(logits, target, image, meta(N, C, dtype=torch.bool)), logits


@step
def loss_on_the_labels_of_a_round():
    logits, target, image = inputs()
    with tempfile.TemporaryDirectory() as folder:
        labeler = PseudoLabeler(folder, C)
        labeler.round = 1
        return labeler.loss(logits, target, image), logits


@pytest.mark.parametrize("name", STEPS)
def test_forward_and_backward_read_no_value(name):
    loss, leaf = STEPS[name]()
    loss.backward()
    assert leaf.grad is not None and leaf.grad.shape == leaf.shape and leaf.grad.dtype == leaf.dtype


@pytest.mark.parametrize("name", STEPS)
def test_nothing_is_indexed_by_a_list(name, monkeypatch):
    """A list becomes a tensor of the host and a blocking copy to the device, which the meta device does not show."""
    plain, seen = torch.Tensor.__getitem__, []

    def getitem(self, index):
        seen.extend(part for part in (index if isinstance(index, tuple) else (index,)) if isinstance(part, list))
        return plain(self, index)

    monkeypatch.setattr(torch.Tensor, "__getitem__", getitem)
    loss, _ = STEPS[name]()
    loss.backward()
    assert not seen
    meta(3, 4)[:, [2, 0]]
    assert seen


class Copies(TorchDispatchMode):
    """Tensors of the host that are copied to another device with a wait, which the meta device does not show."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        if function is torch.ops.aten._to_copy.default:
            source, waits = args[0], not kwargs.get("non_blocking")
        elif function is torch.ops.aten.copy_.default:
            source, waits = args[1], not (args[2] if len(args) > 2 else kwargs.get("non_blocking"))
        else:
            return result
        if waits and source.device.type == "cpu" and result.device.type != "cpu":
            self.waits.append(function)
        return result


@pytest.mark.parametrize("name", STEPS)
def test_no_tensor_of_the_host_is_copied_with_a_wait(name):
    with Copies() as copies:
        loss, _ = STEPS[name]()
        loss.backward()
        assert not copies.waits
        torch.ones(2).to("meta"), meta(2).copy_(torch.ones(2))
    assert len(copies.waits) == 2


class AnyOrder(TorchDispatchMode):
    """Operators that add up in any order on a GPU, where ``torch.use_deterministic_algorithms`` refuses them."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function._schema.name.removeprefix("aten::")
        if (
            (name == "nll_loss2d_forward" and args[3] != 0)  # the reduction: 0 is none
            or (name == "cumsum" and args[0].is_floating_point())
            or (name.endswith("_backward") and ("upsample" in name or "adaptive" in name))
        ):
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", STEPS)
def test_sums_of_a_step_have_an_order(name):
    with AnyOrder() as order:
        loss, _ = STEPS[name]()
        loss.backward()
        assert not order.seen
        meta(3).cumsum(0), torch.nn.functional.nll_loss(meta(1, 2, 3, 4), meta(1, 3, 4, dtype=torch.int64))
    assert order.seen == ["cumsum", "nll_loss2d_forward"]


@pytest.mark.parametrize(
    "run",
    [
        lambda: _reference.lattice_build(meta(N, 3, H, W), 80.0, 0.1),  # that of a GPU
        lambda: F.calibrate_cam(meta(N, C, H, W), meta(N, 3, H, W)),
    ],
    ids=["lattice_build", "calibrate_cam"],
)
def test_cumulative_sums_have_an_order(run):
    with AnyOrder() as order:
        run()
    assert not order.seen


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
@pytest.mark.parametrize("name", STEPS)
def test_a_gpu_waits_for_nothing(name, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "meta", on_gpu)
    STEPS[name]()[0].backward()  # what is loaded or allocated at first may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss, leaf = STEPS[name]()
        loss.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert leaf.grad.shape == leaf.shape


def on_gpu(*shape, dtype=torch.float32):
    return torch.zeros(*shape, device="cuda", dtype=dtype)


def test_the_meta_device_catches_a_wait():
    with pytest.raises((RuntimeError, NotImplementedError)):
        bool((meta(3) > 0).all())
