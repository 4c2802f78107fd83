"""The closed-form loss, forward and backward: ours, and good sparse-matrix implementations."""

from __future__ import annotations

from collections.abc import Callable

import torch
from common.harness import Method, Result, milliseconds, race, ratio_text, table
from common.inputs import logits, marks, photo
from common.memory import peak_bytes
from torch import Tensor

from closedform_wsss import MattingLaplacian, _ops
from closedform_wsss.functional import closed_form_loss
from closedform_wsss.io import IGNORE_INDEX
from kernels import baselines

CONFIDENCE = 100.0
# Of the loss, relative, and of the gradient, relative in the 2-norm: sums of float32 products in another
# order.
TOLERANCE = 1e-3
OURS, PREBUILT, BASELINE, NAIVE = (
    "closedform_wsss",
    "closedform_wsss, prebuilt",
    "torch CSR",
    "torch CSR, autograd",
)
FROM_LOGITS, SOFTMAX = "closedform_wsss, from logits", "softmax alone"


def step(x: Tensor, loss: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """One forward and backward; the gradient replaces, as after ``zero_grad(set_to_none=True)``."""
    x.grad = None
    value = loss()
    value.backward()
    assert x.grad is not None
    return value.detach(), x.grad


def measure(n: int, classes: int, size: int, threads: int, repeats: int, with_memory: bool) -> list[Result]:
    """Both forms, from probabilities and from logits, and the limit of the latter: softmax alone."""
    images, target = photo(size, size, n), marks(n, classes, size, size)
    scores = logits(n, classes, size, size)
    x = scores.softmax(1).requires_grad_()
    scores.requires_grad_()
    weight = torch.ones(n, classes)
    laplacian = MattingLaplacian(images, eps=1e-7)
    stencil = laplacian._operator.stencil

    def build(n: int = n) -> list[Tensor]:
        pairs = zip(images[:n], target, strict=False)
        return [
            baselines.to_float32(baselines.add_marks(baselines.laplacian_csr(image), own, CONFIDENCE))
            for image, own in pairs
        ]

    def softmax_alone() -> None:
        scores.grad = None
        scores.softmax(1).backward(upstream)

    upstream = torch.ones_like(x)
    matrices = build()
    case = f"{n} x {classes} x {size} x {size}"
    results = []
    for form in ("residual", "energy"):
        residual = form == "residual"

        def ours(form: str = form) -> Tensor:
            return closed_form_loss(x, target, images, form=form, eps=1e-7, scale=1, activation=None)

        def prebuilt(residual: bool = residual) -> Tensor:
            options = (CONFIDENCE, IGNORE_INDEX, residual, None, True)
            loss, _ = _ops.matting_loss(stencil, None, x, target, weight, *options)
            return loss.mean()

        def baseline(residual: bool = residual) -> Tensor:
            return baselines.CSRLoss.apply(x, matrices, target, CONFIDENCE, residual)

        def naive(residual: bool = residual) -> Tensor:
            return baselines.csr_autograd_loss(x, matrices, target, CONFIDENCE, residual)

        def from_logits(form: str = form) -> Tensor:
            return closed_form_loss(scores, target, images, form=form, eps=1e-7, scale=1)

        def from_logits_prebuilt(form: str = form) -> Tensor:
            return closed_form_loss(scores, target, laplacian, form=form, scale=1)

        named = [(OURS, ours), (PREBUILT, prebuilt), (BASELINE, baseline), (NAIVE, naive)]
        value, gradient = step(x, ours)
        errors = [0.0] + [_check(name, value, gradient, *step(x, other)) for name, other in named[1:]]
        methods = [Method(name, lambda loss=loss: step(x, loss)) for name, loss in named]
        methods += [
            Method(FROM_LOGITS, lambda loss=from_logits: step(scores, loss)),
            Method(f"{FROM_LOGITS}, prebuilt", lambda loss=from_logits_prebuilt: step(scores, loss)),
            Method(SOFTMAX, softmax_alone),
        ]
        measured = race("loss", f"{case}, {form}", threads, methods, repeats=repeats, budget=8)
        for result, error in zip(measured, [*errors, 0.0, 0.0, 0.0], strict=True):
            result.extra = {"relative_error": error, "form": form, "images": n}
        if with_memory and residual:
            measured[0].extra["peak_bytes_one_image"] = peak_bytes("loss_ours", size, size, threads)
            measured[2].extra["peak_bytes_one_image"] = peak_bytes("loss_torch", size, size, threads)
        results += measured

    builders = [
        Method(f"{OURS}, operator", lambda: MattingLaplacian(images[:1])),
        Method(f"{BASELINE}, operator", lambda: build(1)),
    ]
    measured = race("loss", f"1 x {size} x {size}, operator of one image", threads, builders, repeats=min(repeats, 5))
    for result in measured:
        result.extra = {"relative_error": 0.0, "form": "operator", "images": 1}
    return results + measured


def _check(name: str, value: Tensor, gradient: Tensor, other: Tensor, other_gradient: Tensor) -> float:
    """Assert that loss and gradient are the same; return by how much they differ."""
    error = max(
        float((value - other).abs() / other.abs()),
        float((gradient - other_gradient).norm() / other_gradient.norm()),
    )
    assert error < TOLERANCE, f"the loss of {name} and ours differ by {error:.2e}, more than {TOLERANCE:.0e}"
    return error


def markdown(results: list[Result]) -> str:
    """A table of both forms; ratios with and without the building of our operator, and to a softmax alone."""
    rows: list[list[str]] = []
    prebuilt, softmax = ({(r.case, r.threads): r for r in results if r.name == name} for name in (PREBUILT, SOFTMAX))
    for r in results:
        bases = (prebuilt.get((r.case, r.threads)), softmax.get((r.case, r.threads)))
        rows.append(
            [
                f"{r.case}, {r.name}",
                str(r.threads),
                milliseconds(r.median_s),
                milliseconds(r.min_s),
                ratio_text(r),
                *("" if base is None else ratio_text(r, base) for base in bases),
                f"{r.extra['relative_error']:.0e}" if r.name in (PREBUILT, BASELINE, NAIVE) else "",
                str(r.rounds),
            ]
        )
    head = [
        "case, implementation",
        "threads",
        "median ms",
        "min ms",
        "time / ours",
        "time / ours prebuilt",
        "time / softmax alone",
        "difference",
        "rounds",
    ]
    peaks = [
        f"{r.name} {r.extra['peak_bytes_one_image'] / 2**20:.0f} MiB with {r.threads} thread(s)"
        for r in results
        if "peak_bytes_one_image" in r.extra
    ]
    peak = f"\n\nPeak memory of a residual step on one image beyond its inputs: {'; '.join(peaks)}." if peaks else ""
    return (
        "## Loss, forward and backward\n\nfloat32, probabilities in (activation=None) but in the rows from logits, "
        "marks on about 2 % of the pixels. The baselines' matrices L + mark_weight D are prebuilt, marks folded in, "
        'and cost their step nothing; what building them takes stands in the rows "operator of one image". Ours '
        'builds its operators anew in every step; the column "prebuilt" compares without that. "torch '
        'CSR" is an autograd.Function that uses the symmetry of L, "autograd" leaves the backward pass '
        'to torch.sparse.mm. "softmax alone" is its own forward and backward: less than any loss takes that stores '
        f"probabilities. Before timing, loss and gradient were asserted to agree within {TOLERANCE:.0e} "
        "(relative).\n\n" + table(head, rows) + peak
    )
