"""CUDA kernels on a GPU, beyond what tests with a `device` or `level` parameter see; without one, the way to them."""

import subprocess
import sys
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from helpers.blocks import block_problem
from helpers.strokes import strokes
from helpers.tiles import function_problem, outcome, stencil_problem, tile_list

from closedform_wsss import _C, MattingLaplacian, Superpixels, _cuda, _ops, _reference
from closedform_wsss import functional as F
from closedform_wsss._ops import _define

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device on this machine")
needs_two = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices on this machine")


def every_operator(device, n=2, c=7, h=70, w=90, size=8):
    """Name, arguments."""
    image = torch.rand(n, 3, h, w, device=device)
    stencil, row_sums = _ops.matting_stencil(image, 1e-5, True)
    x = torch.randn(n, c, h, w, device=device)
    target = torch.randint(0, c, (n, h, w), device=device)
    weight = torch.rand(n, c, device=device)
    q = F.soft_slic(image, cell_size=size).assignment
    s = F.superpixel_pool(x, Superpixels(q, size))
    centers = F.superpixel_pool(image, Superpixels(q, size))
    affinity = F.asam_affinity(Superpixels(q, size))
    lattice, values = _ops.lattice_build(image, 5.0, 0.2)[:3], x.flatten(2).transpose(1, 2)
    with torch.device(device):
        *operator, values, b, relaxation = stencil_problem((h, w), c, n=n)
        basis, starts, z, of_tiles = function_problem(30, c)
        anchor_tiles, neighbours = tile_list(n, h, w)
        cells = torch.randn(len(anchor_tiles), 4, 16, 16)
        blocks = block_problem(classes=c, n=n)
    corner_tiles = neighbours[:, [4, 5, 7, 8]].contiguous()
    return [
        ("matting_stencil", (image, 1e-5, False)),
        ("matting_stencil", (image, 1e-5, True)),
        ("matting_product", (stencil, x, weight.new_ones(n, h, w))),
        ("matting_chebyshev", (stencil, weight.new_ones(n, h, w), weight.new_ones(n, h, w) / 10, x, x, 0.1, 1.0, 5)),
        ("matting_cg", (stencil, weight.new_ones(n, h, w), x, x, 1e-3, 100, 5, 8, 0.5, 0.98)),
        ("matting_loss", (stencil, row_sums, x, target, weight, 100.0, 255, True, None, True)),
        ("matting_loss", (stencil, row_sums, x, target, weight, 100.0, 255, False, "sigmoid", True)),
        ("matting_loss", (stencil, row_sums, x, target, weight, 100.0, 255, True, "softmax", True)),
        ("matting_loss", (stencil, None, x.half(), target, weight, 100.0, 255, False, "softmax", True)),
        ("tile_product", (*operator, values, values, h, w)),
        ("tile_product", (*operator[:3], operator[3].double(), values.double(), values.double(), h, w)),
        ("tile_relax", (*operator, values, b, relaxation, values, h, w)),
        ("tile_restrict", (basis, starts, of_tiles, z)),
        ("tile_prolong", (basis, starts, z, of_tiles, of_tiles)),
        ("tile_energy", (image, cells, anchor_tiles, corner_tiles, 1e-5, False, False)),
        ("tile_energy", (image, cells, anchor_tiles, corner_tiles, 1e-5, True, True)),
        ("block_product", (*blocks.layout, blocks.r, blocks.r)),
        ("block_relax", (*blocks.sweep, blocks.r, blocks.r, False)),
        ("block_relax", (*blocks.sweep, blocks.r, blocks.r, True)),
        ("superpixel_pool", (x, q, size)),
        ("superpixel_unpool", (s, q, size)),
        ("superpixel_dot", (x, s, size)),
        ("superpixel_assign", (image, centers, size)),
        ("superpixel_update", (image, centers, size)),
        ("asam_affinity", (q, size)),
        ("asam_steps", (affinity, s, 3, 0.9, 0.1, False, False)),
        ("asam_steps", (affinity, s, 3, 0.9, 0.1, True, True)),
        ("lattice_build", (image, 5.0, 0.2)),
        ("lattice_filter", (values, *lattice, False)),
        ("lattice_filter", (values, *lattice, True)),
        ("lattice_mean_field", (x.flatten(2), *lattice, 3)),
    ]


def call(name, arguments, source=_ops):
    return outcome(getattr(source, name), getattr(_ops, name), arguments)


def flat(result):
    return torch.cat([part.double().flatten() for part in (result if isinstance(result, tuple) else (result,))])


# --- without a GPU: tensors of CUDA would go the right way


def test_a_cuda_tensor_goes_to_the_cuda_kernel_of_its_device_and_stream(monkeypatch):
    calls = []
    monkeypatch.setattr(_define, "_C", SimpleNamespace(some_kernel_cuda_f32=lambda *a: calls.append(a)))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: SimpleNamespace(cuda_stream=1000 + device.index))
    like = SimpleNamespace(is_cuda=True, device=torch.device("cuda:3"), dtype=torch.float32)
    values = torch.zeros(2)
    entered = []
    monkeypatch.setattr(torch.cuda, "device", lambda device: entered.append(device) or nullcontext())
    for current in (3, 0):  # torch selects the device, and restores the caller's, only where it is another
        monkeypatch.setattr(torch.cuda, "current_device", lambda current=current: current)
        _define.launch("some_kernel", like, values, None, 7)
    assert calls == [(values.data_ptr(), 0, 7, (3, 1003))] * 2
    assert entered == [torch.device("cuda:3")]


def test_devices_without_kernels_take_the_plain_path(monkeypatch):
    monkeypatch.setattr(_cuda, "supports", lambda index: index == 1)
    op = _define.on_cuda(lambda x, y: ("kernel", y), lambda x, y: ("plain", y))
    tensors = [SimpleNamespace(device=torch.device("cuda", index)) for index in (0, 1)]
    assert [op(x, 5) for x in tensors] == [("plain", 5), ("kernel", 5)]


REGISTRATION = """
import importlib.util, sys, torch
torch.version.cuda = {cuda!r}
spec = importlib.util.spec_from_file_location("closedform_wsss._C", {file!r})
_C = sys.modules["closedform_wsss._C"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(_C)
_C.cuda = {built}
from closedform_wsss import _ops
has = torch._C._dispatch_has_kernel_for_dispatch_key
print(*{{has(f"closedform_wsss::{{name}}", "CUDA") for name in _ops.__all__}})
"""


@pytest.mark.parametrize(("built", "cuda"), [(True, "13.0"), (True, None), (False, "13.0")])
def test_cuda_is_registered_where_kernels_and_torch_have_it(built, cuda, tmp_path):
    code = REGISTRATION.format(cuda=cuda, built=built, file=_C.__file__)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert run.stdout.strip() == str(built and cuda is not None), run.stderr


# --- on a GPU


@needs_gpu
def test_kernels_agree_with_references_and_give_the_same_bits_twice():
    for name, arguments in every_operator("cuda"):
        first, second = call(name, arguments), call(name, arguments)
        assert torch.equal(flat(first), flat(second)), name
        expected = flat(call(name, arguments, _reference))
        scale = expected.abs().max()
        torch.testing.assert_close(flat(first) / scale, expected / scale, rtol=0, atol=2e-5, msg=name)


@needs_gpu
def test_many_channels_take_the_plain_path():
    image = torch.rand(1, 6, 12, 13, device="cuda")
    torch.testing.assert_close(_ops.matting_stencil(image, 1e-4, True), _reference.matting_stencil(image, 1e-4, True))


@needs_gpu
@pytest.mark.parametrize("name", ["residual", "energy", "asam"])
def test_a_training_step_in_a_cuda_graph(name):
    logits = torch.randn(2, 5, 64, 80, device="cuda", requires_grad=True)
    image, target = torch.rand(2, 3, 64, 80, device="cuda"), torch.randint(0, 5, (2, 64, 80), device="cuda")
    image.requires_grad_(name == "asam")

    def step():
        logits.grad = image.grad = None
        if name == "asam":
            loss = F.asam(logits, F.soft_slic(image, cell_size=8), num_iters=3).square().mean()
        else:
            loss = F.closed_form_loss(logits, target, image, form=name)
        loss.backward()
        return loss

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step()
    gradient = logits.grad
    with torch.no_grad():
        logits.copy_(torch.randn_like(logits))
        image.copy_(torch.rand_like(image))
    graph.replay()
    replayed, replayed_gradient = loss.clone(), gradient.clone()
    expected = step()
    assert torch.equal(replayed, expected) and torch.equal(replayed_gradient, logits.grad)


@needs_gpu
def test_another_stream():
    operators = every_operator("cuda")
    expected = [flat(call(name, arguments)) for name, arguments in operators]
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        got = [flat(call(name, arguments)) for name, arguments in operators]
    stream.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))


@needs_two
def test_the_tensors_device_and_not_the_current_one():
    for name, arguments in every_operator("cuda:1"):
        result = call(name, arguments)
        result = result if isinstance(result, tuple) else (result,)
        assert all(part.device == torch.device("cuda:1") for part in result)
        assert torch.cuda.current_device() == 0
        expected = flat(call(name, arguments, _reference))
        scale = expected.abs().max()
        torch.testing.assert_close(flat(result) / scale, expected / scale, rtol=0, atol=2e-5, msg=name)


@needs_gpu
def test_more_than_two_to_the_31_elements():
    n, c, h, w = 9, 60, 2048, 2048
    if torch.cuda.mem_get_info()[0] < 3.5 * 4 * n * c * h * w:
        pytest.skip("too little GPU memory")
    image = torch.rand(1, 3, h, w, device="cuda").expand(n, -1, -1, -1)
    x = torch.zeros(n, c, h, w, device="cuda")
    x[-1, -1] = torch.rand(h, w, device="cuda")
    last = MattingLaplacian(image[-1:]) @ x[-1:, -1:]
    y = MattingLaplacian(image) @ x
    assert torch.equal(y[-1:, -1:], last) and (y[0] == 0).all()


@needs_gpu
@pytest.mark.parametrize("precision", ["highest", "high"])  # the second is TF32
@pytest.mark.parametrize(("kind", "radius"), [("closed_form", 1), ("learning_based", 1), ("closed_form", 2)])
@pytest.mark.parametrize("columns", [1, 3])
def test_solvers_on_the_gpu_agree_with_the_cpu(any_levels, products, kind, radius, columns, precision):
    size, n = (96, 128), 3
    image = torch.nn.functional.interpolate(torch.rand(n, 3, 12, 16), size=size, mode="bicubic").clamp(0, 1)
    target = strokes(size, columns + (kind == "closed_form")).expand(n, -1, -1)
    torch.set_float32_matmul_precision(precision)
    solution, expected = (F.solve_matting(target.to(d), image.to(d), kind=kind, radius=radius) for d in ("cuda", "cpu"))
    assert solution.converged and abs(solution.iterations - expected.iterations) <= 4
    torch.testing.assert_close(solution.alpha.cpu(), expected.alpha, rtol=0, atol=5e-3)
    x = torch.rand(n, columns, *size)
    filtered, expected = (F.matting_filter(x.to(d), image.to(d), kind=kind, radius=radius) for d in ("cuda", "cpu"))
    torch.testing.assert_close(filtered.cpu(), expected, rtol=0, atol=5e-3)


@needs_gpu
@pytest.mark.parametrize("kind", ["closed_form", "learning_based"])
def test_solves_give_the_same_bits_twice(kind):
    """A batch whose first coarse level is solved directly."""
    image, target = torch.rand(3, 3, 96, 128, device="cuda"), strokes((96, 128), 4).expand(3, -1, -1).cuda()
    first, second = (F.solve_matting(target, image, kind=kind).alpha for _ in range(2))
    assert torch.equal(first, second)
