"""``python -m closedform_wsss.selftest``: every kernel of this installation against its reference, on this machine.

A few public functions run on small images. Each operator that they call runs twice with the same arguments, by the
kernel and by the reference implementation in plain PyTorch, and the results are compared. No test packages are needed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from closedform_wsss import MattingLaplacian, _ops, _reference, build_info
from closedform_wsss.functional import (
    asam,
    closed_form_loss,
    dense_crf,
    dense_crf_loss,
    matting_filter,
    soft_slic,
    solve_matting,
    superpixel_pool,
    superpixel_unpool,
)
from closedform_wsss.solver.multigrid import w_cycle

NAMESPACE = "closedform_wsss"
SIZE = (37, 50)  # odd: tiles, vectors and blocks end in the middle
# Largest difference, relative to the largest value: sums in another order, and exponentials by polynomials.
TOLERANCE = {torch.float64: 1e-8, torch.float32: 2e-4, torch.float16: 2e-3, torch.bfloat16: 2e-2}


@dataclass
class Outcome:
    """Of one operator: how often it ran, in which dtypes, its largest difference as a part of what is allowed."""

    calls: int = 0
    dtypes: set[str] = field(default_factory=set)
    worst: float = 0.0
    error: str = ""

    @property
    def status(self) -> str:
        """ "ok", or what is wrong."""
        if self.error:
            return self.error
        if not self.calls:
            return "never ran"
        return "ok" if self.worst <= 1 else "WRONG"


class _Compared(TorchDispatchMode):
    """Runs each operator of this package by its reference too."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes = {name: Outcome() for name in _ops.__all__}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace != NAMESPACE:
            return func(*args, **(kwargs or {}))
        name = func._schema.name.partition("::")[2]
        if name not in self.outcomes:  # made of other operators, such as a whole solve: these are compared
            key = torch._C.DispatchKey.CUDA if args[0].is_cuda else torch._C.DispatchKey.CPU
            with self:
                return func._op_dk(key, *args)
        copies = [_exact(arg, name) for arg in args]
        result = func(*args)
        expected = getattr(_reference, name)(*copies)
        pairs = [_rows_in_use(found) if name == "lattice_build" else _tensors(found) for found in (result, expected)]
        written = [n for n, arg in enumerate(func._schema.arguments) if arg.alias_info and arg.alias_info.is_write]
        outcome = self.outcomes[name]
        outcome.calls += 1
        compared = [*zip(*pairs, strict=True), *((args[n], copies[n]) for n in written)]
        outcome.dtypes |= {str(ours.dtype).removeprefix("torch.") for ours, _ in compared}
        outcome.worst = max(outcome.worst, _difference(compared))
        return result


def _exact(argument: Any, name: str) -> Any:
    """A copy for the reference, in float64, which does not round; the rows of a lattice follow from the rounding."""
    if not isinstance(argument, Tensor):
        return argument
    return argument.double() if argument.is_floating_point() and name != "lattice_build" else argument.clone()


def _rows_in_use(lattice: Sequence[Tensor]) -> list[Tensor]:
    """A lattice without the memory behind its rows."""
    indices, weights, neighbours, counts = lattice
    return [indices, weights, *(of[:, :count] for of, count in zip(neighbours, counts.tolist(), strict=True)), counts]


def _tensors(result: Any) -> list[Tensor]:
    return [part for part in (result if isinstance(result, (tuple, list)) else (result,)) if isinstance(part, Tensor)]


def _difference(compared: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The largest difference as a part of what is allowed; infinite where shapes or whole numbers differ, or for NaN.

    What is allowed follows from the largest value of all results: the row sums of a Laplacian are small beside it.
    """
    values = [(ours, theirs) for ours, theirs in compared if ours.is_floating_point() and ours.numel()]
    if any(ours.shape != theirs.shape for ours, theirs in compared) or not all(
        torch.equal(ours, theirs) for ours, theirs in compared if not ours.is_floating_point()
    ):
        return float("inf")
    largest = max((float(theirs.abs().max()) for _, theirs in values), default=0.0)
    error = 0.0
    for ours, theirs in values:
        allowed = TOLERANCE[ours.dtype] * max(largest, 1e-12)
        found = float((ours.double() - theirs.double()).abs().max()) / allowed
        error = max(error, found if found == found else float("inf"))
    return error


def _programs(device: torch.device) -> Iterator[Callable[[], object]]:
    """Calls that together reach every operator."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int, dtype: torch.dtype) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64).to(device, dtype)

    marks = torch.full((2, *SIZE), 255)
    marks[:, 4, 3:40], marks[:, 30, 8:45], marks[:, 15:17, 20] = 0, 1, 2
    marks = marks.to(device)
    for dtype in (torch.float32, torch.float64):
        image, maps = random(2, 3, *SIZE, dtype=dtype), random(2, 3, *SIZE, dtype=dtype)
        for kind in ("closed_form", "learning_based"):
            yield partial(MattingLaplacian(image, kind=kind, eps=1e-4).__matmul__, maps)
            yield partial(solve_matting, marks, image, kind=kind, tol=1e-2)
            for form in ("energy", "residual"):
                yield partial(_backward, closed_form_loss, maps, marks, image, kind=kind, form=form, scale=1)
        yield partial(_on_coarse_levels, partial(solve_matting, marks[:1], image[:1], tol=0.1))
        for options in ({"fidelity": 0.1}, {"fidelity": 1e-4}, {"num_iters": 20}):
            yield partial(matting_filter, maps, image, **options)
        yield partial(_superpixels, image, maps)
        yield partial(dense_crf, maps.softmax(1), image, num_iters=3)
        yield partial(_backward, dense_crf_loss, maps, image)
    for half in (torch.float16, torch.bfloat16):
        image, maps = random(2, 3, *SIZE, dtype=torch.float32), random(2, 3, *SIZE, dtype=half)
        yield partial(_backward, closed_form_loss, maps, marks, image, scale=1)  # at another scale it is no longer half


def _backward(loss: Callable[..., Tensor], maps: Tensor, *arguments: Any, **options: Any) -> None:
    loss(maps.clone().requires_grad_(), *arguments, **options).backward()


def _on_coarse_levels(solve: Callable[[], object]) -> None:
    """A solve of a small image with the coarse levels of the multigrid method, which large images need."""
    with mock.patch.object(w_cycle, "MAX_COARSEST", 10), mock.patch.object(w_cycle, "MAX_COARSEST_DENSE", 10):
        solve()


def _superpixels(image: Tensor, maps: Tensor) -> None:
    image, maps = image.clone().requires_grad_(), maps.clone().requires_grad_()
    superpixels = soft_slic(image, cell_size=8, num_iters=3)
    spread = asam(maps, superpixels, num_iters=3)
    pooled = superpixel_unpool(superpixel_pool(maps, superpixels), superpixels)
    (spread.square().sum() + pooled.square().sum()).backward()


def run(device: str = "cpu") -> dict[str, Outcome]:
    """What came of every operator.

    Args:
        device: "cpu" or "cuda".
    """
    compared = _Compared()
    for program in _programs(torch.device(device)):
        with compared:
            program()
    return compared.outcomes


def main(argv: list[str] | None = None) -> int:
    """Prints a line for each operator and returns 0 if all are right, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m closedform_wsss.selftest",
        description="Compare every kernel of this installation with its reference, on this machine.",
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="cpu or cuda")
    args = parser.parse_args(argv)
    try:
        torch.empty(0, device=args.device)
    except (RuntimeError, AssertionError) as error:  # of no such device, or of a torch without CUDA
        parser.error(f"--device must be a device of this machine, got {args.device} ({str(error).splitlines()[0]})")
    started = time.perf_counter()
    outcomes = run(args.device)
    for name, outcome in outcomes.items():
        print(f"{name:22}{outcome.calls:6} calls  {' '.join(sorted(outcome.dtypes)):24}{outcome.status}")
    wrong = [name for name, outcome in outcomes.items() if outcome.status != "ok"]
    info = build_info()
    print(
        f"{len(outcomes) - len(wrong)} of {len(outcomes)} operators are right on {args.device}, SIMD level "
        f"{info['simd']}, in {time.perf_counter() - started:.0f} seconds, of {Path(_ops.__file__).parents[1]}"
    )
    if wrong:
        print("report this with the output of `closedform-wsss info`", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
