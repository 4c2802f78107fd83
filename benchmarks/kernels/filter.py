"""The matting filter of a training step: ours, the same iterations as torch operators, and on sparse matrices.

Conjugate gradients until a tolerance, and the fixed number of Chebyshev steps that self-training takes.
"""

from __future__ import annotations

from functools import partial

import torch
from common.harness import Method, Result, milliseconds, race, ratio_text, table
from common.inputs import photo
from torch import Tensor

from closedform_wsss.functional import matting_filter
from closedform_wsss.laplacian import MattingLaplacian
from closedform_wsss.laplacian.windows import windows_per_pixel
from closedform_wsss.solver.cg import by_classes
from closedform_wsss.solver.chebyshev import chebyshev
from closedform_wsss.solver.map_solver import MapSolver
from closedform_wsss.solver.stopping import Stopping
from closedform_wsss.training.filtering import STEPS
from kernels import baselines

FIDELITY, EPS = 0.03, 1e-7
TOLERANCES = (0.1, 0.03)
IN_TORCH, IN_CSR = "conjugate gradients as torch operators", "torch CSR"
IN_TORCH_STEPS = "Chebyshev's method as torch operators"


def measure(n: int, classes: int, height: int, width: int, threads: int, repeats: int) -> list[Result]:
    """Set-up of the operator included, but for the sparse matrices, whose set-up takes seconds."""
    image = photo(height, width, n)
    coarse = torch.randn(n, classes, -(-height // 12), -(-width // 12), generator=torch.Generator().manual_seed(2))
    p = torch.nn.functional.interpolate(3 * coarse, (height, width), mode="bilinear").softmax(1)
    matrices = [baselines.to_float32(baselines.laplacian_csr(one, EPS)) for one in image]
    inverses = [1 / (diagonal_of(matrix) + FIDELITY)[:, None] for matrix in matrices]
    exact = matting_filter(p.double(), image.double(), fidelity=FIDELITY, eps=EPS, tol=1e-8)
    results = []
    for tol in TOLERANCES:

        def ours(tol: float = tol) -> Tensor:
            return matting_filter(p, image, fidelity=FIDELITY, eps=EPS, tol=tol)

        def in_torch(tol: float = tol) -> Tensor:
            weight = torch.full((n, height, width), FIDELITY)
            solver = MapSolver(MattingLaplacian(image, eps=EPS), weight)
            return by_classes(partial(solver.solve, stopping=Stopping(tol, 2000)), p, p).x

        def in_csr(tol: float = tol) -> Tensor:
            return torch.stack([_csr_cg(*given, tol) for given in zip(matrices, inverses, p, strict=True)])

        methods = [
            Method("matting_filter", ours),
            Method(IN_TORCH, in_torch, "the library's product"),
            Method(IN_CSR, in_csr, "without its set-up"),
        ]
        errors = [float((method.run() - exact).abs().max()) for method in methods]
        for error, method in zip(errors, methods, strict=True):
            assert error < 2 * tol, f"{method.name}: the error is {error:.2g} at tol {tol}"
        case = f"{n} x {classes} x {height} x {width}, tol {tol}"
        measured = race("filter", case, threads, methods, repeats=repeats)
        for result, error in zip(measured, errors, strict=True):
            result.extra = {"error": error}
        results += measured
    return results + _fixed_steps(p, image, exact, threads, repeats)


def _fixed_steps(p: Tensor, image: Tensor, exact: Tensor, threads: int, repeats: int) -> list[Result]:
    steps = round(STEPS / FIDELITY**0.5)

    def ours() -> Tensor:
        return matting_filter(p, image, fidelity=FIDELITY, eps=EPS, num_iters=steps)

    def in_torch() -> Tensor:
        laplacian = MattingLaplacian(image, eps=EPS)
        weight = torch.full(p[:, 0].shape, FIDELITY)
        inverse = 1 / (windows_per_pixel(p, 1) + FIDELITY)
        low = FIDELITY / (9 + FIDELITY)
        right = inverse * (FIDELITY * p)
        return chebyshev(lambda x: inverse * laplacian._operator.product(x, weight), right, p, low, 1.0, steps)

    methods = [
        Method("matting_filter", ours),
        Method(IN_TORCH_STEPS, in_torch, "the library's product"),
    ]
    torch.testing.assert_close(ours(), in_torch(), rtol=0, atol=1e-4)
    case = f"{len(p)} x {p.shape[1]} x {p.shape[2]} x {p.shape[3]}, {steps} steps"
    measured = race("filter", case, threads, methods, repeats=repeats)
    for result in measured:
        result.extra = {"error": float((ours() - exact).abs().max())}
    return measured


def diagonal_of(matrix: Tensor) -> Tensor:
    """Of a CSR matrix, ``(rows,)``."""
    rows = torch.repeat_interleave(torch.arange(len(matrix)), matrix.crow_indices().diff().long())
    return matrix.values()[rows == matrix.col_indices()]


def _csr_cg(matrix: Tensor, inverse: Tensor, p: Tensor, tol: float) -> Tensor:
    """(L + fidelity) y = fidelity p for maps ``(C, H, W)``; ``inverse``, of the diagonal, is the preconditioner.

    It stops when a bound of the error, residual / fidelity, is below tol in the mean over the pixels: a simple rule
    that gives about the same error here.
    """
    x = p.flatten(1).t().contiguous()
    r = FIDELITY * x - (matrix @ x + FIDELITY * x)
    z = inverse * r
    direction, rz = z, (r * z).sum(0)
    for _ in range(200):
        product = matrix @ direction + FIDELITY * direction
        length = rz / (direction * product).sum(0).clamp_min(1e-30)
        x, r = x + length * direction, r - length * product
        if float(r.norm(dim=0).max()) < tol * FIDELITY * len(x) ** 0.5:
            break
        z = inverse * r
        before, rz = rz, (r * z).sum(0)
        direction = z + rz / before.clamp_min(1e-30) * direction
    return x.t().reshape_as(p)


def markdown(results: list[Result]) -> str:
    """A table of all tolerances and thread counts."""
    rows = [
        [
            f"{r.case}, {r.name}",
            str(r.threads),
            milliseconds(r.median_s),
            milliseconds(r.min_s),
            ratio_text(r),
            f"{r.extra['error']:.1g}",
            str(r.rounds),
        ]
        for r in results
    ]
    head = ["case, implementation", "threads", "median ms", "min ms", "time / ours (quartiles)", "error", "rounds"]
    return (
        f"## The matting filter of a training step\n\nProbabilities filtered with fidelity {FIDELITY}, eps {EPS:g}: "
        "images x classes x height x width. The set-up of the operator is included, except for the sparse matrices. "
        "The error is the largest one, against the filter in float64 with tol 1e-8; the winning classes need less than "
        "the values (self-training takes the row of steps).\n\n" + table(head, rows)
    )
