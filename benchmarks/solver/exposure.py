"""Over- and under-exposed photographs, and few colours: how far from the solution is solve_matting?

    python benchmarks solver.exposure            four photographs, four exposures, three palettes
    python benchmarks solver.exposure --quick    tiny: does it run?

Clipped pixels enclose regions that only eps holds, and so are the flat regions of images of few colours. They are
solved with the correction of solver/regions, in float64. The table has them with it, and as if no image had such
regions. The error is against a sparse LU in float64.
Writes results/solver_exposure.json and .md.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import numpy as np
import scipy.sparse as sp
import torch
from common.harness import describe_machine, table, write_json, write_markdown
from scipy.sparse.linalg import splu
from torch import Tensor

from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import solve_matting
from closedform_wsss.io import IGNORE_INDEX, from_array
from closedform_wsss.solver import ConvergenceWarning, system
from closedform_wsss.solver.regions import region_functions
from solver.inputs import PHOTOS, scribbles

EXPOSURES: dict[str, Callable[[Tensor], Tensor]] = {
    "as it is": lambda x: x,
    "lights clipped": lambda x: 2.2 * (x - 0.1),
    "shadows clipped": lambda x: 2 * (x - 0.5),
    "half white": lambda x: torch.where(x > 0.5, 1.0, x),
    "5 levels": lambda x: (x * 4).round() / 4,
    "9 levels": lambda x: (x * 8).round() / 8,
    "17 levels": lambda x: (x * 16).round() / 16,
}
CLASSES, MARK_WEIGHT, TOL = 3, 100.0, 1e-2
SIZE, LARGE = (192, 256), (400, 600)  # with and without a direct solution


def solution(image: Tensor, marks: Tensor) -> Tensor:
    """alpha ``(C, H, W)`` by a sparse LU."""
    weight = MARK_WEIGHT * (marks[0] != IGNORE_INDEX).double()
    right = torch.stack([weight * (marks[0] == c) for c in range(CLASSES)], 2)
    matrix = MattingLaplacian(image.double()).to_scipy(0) + sp.diags(weight.numpy().ravel())
    alpha = splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A").solve(right.flatten(0, 1).numpy())
    return torch.from_numpy(np.ascontiguousarray(alpha.T)).view(CLASSES, *marks.shape[1:])


def solve(image: Tensor, marks: Tensor, expected: Tensor | None, *, corrected: bool) -> dict[str, Any]:
    """Iterations, seconds, the largest error, and whether the solver says that it converged."""
    found = system.region_functions if corrected else lambda *_: []
    with patch.object(system, "region_functions", found), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        started = time.perf_counter()
        result = solve_matting(marks, image, tol=TOL, num_classes=CLASSES)
        seconds = time.perf_counter() - started
    error = None if expected is None else float((result.alpha[0].double() - expected).abs().max())
    return {"iterations": result.iterations, "seconds": seconds, "error": error, "converged": result.converged}


def measure(photo: str, exposure: str, size: tuple[int, int], *, direct: bool) -> dict[str, Any]:
    problem = scribbles(photo, *size, CLASSES)
    image = EXPOSURES[exposure](from_array(problem.image)[None].float() / 255).clamp(0, 1)
    image = (image * 255).round() / 255
    marks = torch.from_numpy(problem.marks)[None]
    expected = solution(image, marks) if direct else None
    parts = region_functions(image, (marks != IGNORE_INDEX).double() * MARK_WEIGHT)
    corrected_part = len(np.unique(np.concatenate([part.pixels for part in parts]))) / marks.numel() if parts else 0.0
    return {
        "name": f"{problem.name}, {exposure}",
        "corrected": corrected_part,
        **{name: solve(image, marks, expected, corrected=name == "with") for name in ("with", "without")},
    }


def markdown(rows: list[dict[str, Any]]) -> str:
    def cells(row: dict[str, Any]) -> list[str]:
        with_, without = row["with"], row["without"]
        errors = ["" if of["error"] is None else f"{of['error']:.1g}" for of in (with_, without)]
        its = [f"{of['iterations']}{'' if of['converged'] else ' (not converged)'}" for of in (with_, without)]
        return [row["name"], f"{row['corrected']:.1%}", *errors, *its, f"{with_['seconds'] / without['seconds']:.2g}"]

    header = ["photograph", "corrected", "error", "without", "iterations", "without", "time / without"]
    return (
        f"`solve_matting` of {CLASSES} classes of strokes in float32, tol {TOL:g}; 8 bits. Corrected: the part of the "
        "image that regions between clipped pixels, or of one colour, cover; 0 where the image is solved as it is. "
        "Error: the largest of alpha, against a sparse LU in float64; left out for the larger size.\n\n"
        + table(header, [cells(row) for row in rows])
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="tiny: does it run?")
    args = parser.parse_args(argv)
    machine = describe_machine()
    if args.quick:
        print(markdown([measure(PHOTOS[0], "half white", (48, 64), direct=True)]))
        return 0
    cases = [(photo, exposure, size) for size in (SIZE, LARGE) for photo in PHOTOS for exposure in EXPOSURES]
    rows = [measure(photo, exposure, size, direct=size == SIZE) for photo, exposure, size in cases]
    write_json("solver_exposure", {"machine": machine, "rows": rows})
    title = "Over- and under-exposed photographs, and few colours"
    write_markdown("solver_exposure", title, "python benchmarks solver.exposure", machine, markdown(rows))
    return 0
