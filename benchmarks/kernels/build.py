"""Building the operator of one image: ours, pymatting, plain PyTorch."""

from __future__ import annotations

import time

import pymatting
import torch
from common.harness import Method, Result, milliseconds, race, ratio_text, table
from common.inputs import photo
from common.jobs import as_numpy
from common.memory import available_bytes, peak_bytes

import closedform_wsss
from kernels import baselines

# Of L x against the baseline's float64 L x, relative, in the 2-norm. Our coefficients are rounded to float32
# (1e-6); the baselines invert covariances explicitly, which costs them digits in windows of nearly one colour.
TOLERANCE = 1e-4
# Blocks of 81 float64 values and 2 x 81 int64 indices a pixel, and a sort of them, make plain PyTorch this
# hungry.
TORCH_BYTES_PER_PIXEL = 7000
LARGE = 1_000_000


def measure(sizes: list[tuple[int, int]], threads: int, repeats: int, first: bool, with_memory: bool) -> list[Result]:
    """Time, peak memory and bytes kept, for each size."""
    results = []
    for height, width in sizes:
        image = photo(height, width)
        array = as_numpy(image)
        room = available_bytes()
        fits = room is None or room > TORCH_BYTES_PER_PIXEL * height * width
        # Tens of seconds a run: with one thread count is enough.
        torch_too = fits and (first or height * width < LARGE)

        ours = closedform_wsss.MattingLaplacian(image)
        x = torch.rand(1, 1, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        y = (ours @ x.float())[0, 0].double().reshape(-1)
        baseline = pymatting.cf_laplacian(array)
        kept = [ours._operator.stencil.nbytes, baseline.data.nbytes + baseline.indices.nbytes + baseline.indptr.nbytes]
        errors = [0.0, _check("pymatting", y, torch.from_numpy(baseline @ x.reshape(-1).numpy()))]
        methods = [
            Method("closedform_wsss", lambda image=image: closedform_wsss.MattingLaplacian(image)),
            Method("pymatting", lambda array=array: pymatting.cf_laplacian(array), "float64 CSR, numba"),
        ]
        jobs = ["build_ours", "build_pymatting"]
        if torch_too:
            started = time.perf_counter()
            csr = baselines.laplacian_csr(image[0])
            seconds = time.perf_counter() - started
            kept.append(baselines.csr_bytes(csr))
            errors.append(_check("plain PyTorch", y, (csr @ x.view(-1, 1))[:, 0]))
            del csr
            methods.append(
                Method(
                    "plain PyTorch",
                    lambda image=image: baselines.laplacian_csr(image[0]),
                    "float64 CSR",
                    seconds,
                )
            )
            jobs.append("build_torch")
        elif not fits:
            print(f"plain PyTorch is left out at {height} x {width}: too little memory is free")
        del baseline, ours

        case = f"{height} x {width}"
        measured = race("build", case, threads, methods, repeats=repeats)
        for result, job, size, error in zip(measured, jobs, kept, errors, strict=True):
            pixels = height * width
            result.extra = {"kept_bytes_per_pixel": size / pixels, "relative_error": error}
            if with_memory:
                result.extra["peak_bytes"] = peak_bytes(job, height, width, threads)
        results += measured
    return results


def _check(name: str, ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Assert that both operators are the same; return by how much they differ."""
    error = float((ours - theirs).norm() / theirs.norm())
    assert error < TOLERANCE, f"L x of {name} and ours differ by {error:.2e}, more than {TOLERANCE:.0e}"
    return error


def markdown(results: list[Result]) -> str:
    """A table of all sizes and thread counts."""
    rows = []
    for r in results:
        peak = r.extra.get("peak_bytes")
        rows.append(
            [
                f"{r.case}, {r.name}",
                str(r.threads),
                milliseconds(r.median_s),
                milliseconds(r.min_s),
                ratio_text(r),
                f"{r.extra['kept_bytes_per_pixel']:.0f}",
                "" if peak is None else f"{peak / 2**20:.0f}",
                "" if r.name == "closedform_wsss" else f"{r.extra['relative_error']:.0e}",
                str(r.rounds),
            ]
        )
    head = [
        "size, implementation",
        "threads",
        "median ms",
        "min ms",
        "time / ours (quartiles)",
        "kept, bytes a pixel",
        "peak MiB",
        "difference of L x",
        "rounds",
    ]
    return (
        "## Building the operator\n\nOne RGB image, 3 x 3 windows, eps 1e-7. pymatting and plain PyTorch "
        "make a float64 CSR matrix, ours a float32 stencil computed in float64. pymatting runs on one "
        "thread whatever the setting. Peak memory is beyond the inputs, results included. Before timing, "
        f"L x of a random x was asserted to agree within {TOLERANCE:.0e} (relative 2-norm).\n\n" + table(head, rows)
    )
