"""y = L x for many classes: ours, sparse matrices, and the time to merely copy x."""

from __future__ import annotations

import scipy.sparse
import torch
from common.harness import Method, Result, milliseconds, race, ratio_text, table
from common.inputs import photo

import closedform_wsss
from kernels import baselines

# Of y, relative, in the 2-norm: both sides hold float32 coefficients rounded from float64 ones (see
# build.py).
TOLERANCE = 1e-4
ALONE, WITH_TRANSPOSES = "torch CSR alone", "torch CSR with transposes"


def measure(sizes: list[int], classes: list[int], threads: int, repeats: int) -> list[Result]:
    """All square sizes and class counts."""
    results = []
    for size in sizes:
        image = photo(size, size)
        ours = closedform_wsss.MattingLaplacian(image)
        csr = baselines.to_float32(baselines.laplacian_csr(image[0]))
        parts = (csr.values().numpy(), csr.col_indices().numpy(), csr.crow_indices().numpy())
        matrix = scipy.sparse.csr_array(parts, shape=tuple(csr.shape))
        for c in classes:
            x = torch.rand(1, c, size, size, generator=torch.Generator().manual_seed(0))
            columns = x[0].flatten(1).t().contiguous()
            array = columns.numpy()
            y = (ours @ x)[0]
            errors = [
                0.0,
                _check(ALONE, y, (csr @ columns).t().reshape_as(y)),
                _check(WITH_TRANSPOSES, y, baselines.csr_product(csr, x[0])),
                _check("scipy CSR", y, torch.from_numpy(matrix @ array).t().reshape_as(y)),
            ]
            out = torch.empty_like(x)
            # Arguments are bound as defaults: a closure would see the last case's.
            methods = [
                Method("closedform_wsss", lambda ours=ours, x=x: ours @ x),
                Method(ALONE, lambda csr=csr, columns=columns: csr @ columns, "x kept as (HW, C)"),
                Method(
                    WITH_TRANSPOSES,
                    lambda csr=csr, x=x: baselines.csr_product(csr, x[0]),
                    "from and to (C, H, W)",
                ),
                Method("scipy CSR", lambda matrix=matrix, array=array: matrix @ array, "x kept as (HW, C)"),
                Method("x.clone()", lambda x=x: x.clone(), "copy into new memory"),
                Method("copy", lambda out=out, x=x: out.copy_(x), "copy into the same memory: the floor"),
            ]
            measured = race("product", f"{size} x {size}, {c} classes", threads, methods, repeats=repeats)
            for result, error in zip(measured, [*errors, 0.0, 0.0], strict=True):
                # A copy reads and writes 4 bytes a value; what caches and write-allocation add is not
                # counted.
                result.extra = {
                    "ns_per_value": result.median_s / x.numel() * 1e9,
                    "copy_gb_per_s": 8e-9 * x.numel() / result.median_s,
                    "relative_error": error,
                    "classes": c,
                }
            results += measured
    return results


def _check(name: str, ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Assert that both products are the same; return by how much they differ."""
    error = float((ours.double() - theirs.double()).norm() / theirs.double().norm())
    assert error < TOLERANCE, f"L x of {name} and ours differ by {error:.2e}, more than {TOLERANCE:.0e}"
    return error


def markdown(results: list[Result]) -> str:
    """A table of all cases."""
    rows = []
    for r in results:
        copying = r.name in ("x.clone()", "copy")
        rows.append(
            [
                f"{r.case}, {r.name}",
                str(r.threads),
                milliseconds(r.median_s),
                f"{r.extra['ns_per_value']:.2f}",
                ratio_text(r),
                f"{r.extra['copy_gb_per_s']:.1f}" if copying else "",
                "" if copying or r.name == "closedform_wsss" else f"{r.extra['relative_error']:.0e}",
                str(r.rounds),
            ]
        )
    head = [
        "case, implementation",
        "threads",
        "median ms",
        "ns a pixel and class",
        "time / ours (quartiles)",
        "GB/s",
        "difference of y",
        "rounds",
    ]
    return (
        '## Product y = L x\n\nfloat32, one image, operators prebuilt; CSR with int32 indices. "Alone" '
        'is the bare product on maps kept as (HW, C); "with transposes" takes and gives (C, H, W) as a '
        "network does. scipy runs on one thread whatever the setting. The copy rows move x once, the "
        "floor that nothing beats where x does not fit the caches; 0.2 there means that ours takes as "
        f"long as 5 copies. Before timing, y was asserted to agree within {TOLERANCE:.0e} (relative "
        "2-norm).\n\n" + table(head, rows)
    )
