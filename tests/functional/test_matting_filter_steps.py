"""The matting filter with a fixed number of steps: against a dense solve, linear, differentiable, exported."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from helpers import oracle
from torch.autograd import gradcheck, gradgradcheck

from closedform_wsss import MattingLaplacian, _ops
from closedform_wsss.functional import ConvergenceWarning, matting_filter
from closedform_wsss.laplacian import KINDS
from closedform_wsss.nn import MattingFilter
from closedform_wsss.solver.chebyshev import chebyshev


def problem(dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, image = (torch.rand(1, 3, 13, 17, generator=generator, dtype=torch.float64).to(dtype) for _ in range(2))
    target = torch.full((1, 13, 17), 255)
    target[0, 3, 2:15], target[0, 9, 4:9] = 0, 2
    return x, image, target


def test_the_error_of_chebyshev_is_within_its_bound() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.linspace(0.1, 7, 30, dtype=torch.float64)
    basis = torch.linalg.qr(torch.randn(30, 30, generator=generator, dtype=torch.float64))[0]
    matrix, b = basis * values @ basis.T, torch.randn(30, 1, generator=generator, dtype=torch.float64)
    exact = torch.linalg.solve(matrix, b)
    root = 70**0.5
    for steps in (1, 2, 5, 20, 70):
        products = []

        def product(v: torch.Tensor, products: list[torch.Tensor] = products) -> torch.Tensor:
            products.append(v)
            return matrix @ v

        x = chebyshev(product, b, torch.zeros_like(b), 0.1, 7, steps)
        assert len(products) == steps  # one for each, and none more
        bound = 2 * ((root - 1) / (root + 1)) ** steps
        assert float((x - exact).norm() / exact.norm()) <= bound + 1e-12
    assert bound < 1e-6


@pytest.mark.parametrize("name", oracle.hard_images())
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("radius", [1, 2])
def test_agrees_with_the_solved_filter(name: str, kind: str, radius: int) -> None:
    image = torch.from_numpy(oracle.hard_images()[name].copy())[None]
    if min(image.shape[-2:]) < 2 * radius + 1 and radius > 1:
        pytest.skip("windows are larger than the image")
    x = torch.rand(1, 2, *image.shape[2:], dtype=torch.float64) - 0.2
    options = {"fidelity": 0.1, "kind": kind, "radius": radius}
    exact = matting_filter(x, image, tol=1e-10, **options)
    steps = 8 * round((2 * radius + 1) / 0.1**0.5)
    torch.testing.assert_close(matting_filter(x, image, num_iters=steps, **options), exact, rtol=0, atol=1e-5)
    single = matting_filter(x.float(), image.float(), num_iters=steps, **options)
    torch.testing.assert_close(single.double(), exact, rtol=0, atol=1e-4)


@pytest.mark.parametrize("mark_weight", [0.1, 10.0, 1000.0])
def test_marks_do_not_slow_it_down(mark_weight: float) -> None:
    x, image, target = problem()
    options = {"target": target, "fidelity": 0.1, "mark_weight": mark_weight}
    exact = matting_filter(x, image, tol=1e-10, **options)
    torch.testing.assert_close(matting_filter(x, image, num_iters=60, **options), exact, rtol=0, atol=1e-5)


def test_linear_and_differentiable_to_any_order() -> None:
    x, image, _ = problem()
    x = x[:, :2, :6, :7].contiguous()
    image = image[:, :, :6, :7]

    def filter_of(maps: torch.Tensor) -> torch.Tensor:
        return matting_filter(maps, image, fidelity=0.2, num_iters=3)  # far from converged

    torch.testing.assert_close(filter_of(2 * x - 3), 2 * filter_of(x) - 3)
    x.requires_grad_()
    assert gradcheck(filter_of, x) and gradgradcheck(lambda maps: filter_of(maps).square(), x)


def test_an_operator_and_the_module() -> None:
    x, image, target = problem()
    expected = matting_filter(x, image, target=target, eps=1e-4, fidelity=0.1, num_iters=7)
    laplacian = MattingLaplacian(image, eps=1e-4)
    assert torch.equal(matting_filter(x, laplacian, target=target, fidelity=0.1, num_iters=7), expected)
    assert torch.equal(MattingFilter(eps=1e-4, fidelity=0.1, num_iters=7)(x, image, target), expected)
    permuted = x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    torch.testing.assert_close(matting_filter(permuted, laplacian, target=target, fidelity=0.1, num_iters=7), expected)
    for wrong in (0, -1, 1.5):
        with pytest.raises((ValueError, TypeError), match="num_iters must be"):
            matting_filter(x, image, num_iters=wrong)
        with pytest.raises((ValueError, TypeError), match="MattingFilter: num_iters must be"):
            MattingFilter(num_iters=wrong)


@pytest.mark.parametrize(("size", "of_kernel"), [((20, 30), 1), ((300, 400), 1), ((5, 512), 1), ((5, 513), 0)])
def test_all_steps_are_one_operator(size: tuple[int, int], of_kernel: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault here would show as slowness only. Maps wider than the kernel's rows take a product for each step."""
    calls: Counter[str] = Counter()
    for name in ("matting_chebyshev", "matting_product", "matting_cg"):
        operator = getattr(_ops, name)
        monkeypatch.setattr(_ops, name, lambda *args, name=name, of=operator: calls.update([name]) or of(*args))
    matting_filter(torch.rand(1, 2, *size), torch.rand(1, 3, *size), fidelity=0.1, num_iters=7)
    assert calls == {"matting_chebyshev": 1} if of_kernel else calls == {"matting_product": 7}


def test_far_too_few_steps_are_a_warning() -> None:
    x, image, _ = problem()
    with pytest.warns(ConvergenceWarning, match="5 steps are far too few for fidelity 0.001: take about 190"):
        few = matting_filter(x, image, fidelity=1e-3, num_iters=5)
    enough = matting_filter(x, image, fidelity=1e-3, num_iters=190)  # without a warning
    exact = matting_filter(x, image, fidelity=1e-3, tol=1e-8)
    assert float((few - exact).abs().max()) > 0.1 > 0.05 > float((enough - exact).abs().max())


@pytest.mark.parametrize("marked", [False, True])
def test_exported_it_is_plain_pytorch_with_the_same_numbers(marked: bool) -> None:
    x, image, target = problem(torch.float32)
    inputs = (x, image, target) if marked else (x, image)
    module = MattingFilter(fidelity=0.1, num_iters=4)
    program = torch.export.export(module, inputs)
    operators = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert operators and not any("closedform_wsss" in name for name in operators)
    torch.testing.assert_close(program.module()(*inputs), module(*inputs), rtol=0, atol=1e-5)


def test_compiled_as_one_graph() -> None:
    x, image, _ = problem(torch.float32)
    module = MattingFilter(fidelity=0.1, num_iters=4)
    torch.testing.assert_close(torch.compile(module, fullgraph=True, backend="aot_eager")(x, image), module(x, image))
