"""The tables of the solver benchmark."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from typing import Any

from common.harness import paired, table

from solver.large import QUALITY
from solver.methods import CSR_ITERATIONS, DIRECT, FIRM_CONFIDENCE, OURS, SOLVERS, TIGHT_TOL

Row = dict[str, Any]
HEAD = ["size, solver", "s", "time / ours", "time / ours, 1 thread", "peak MiB", "largest error", "mean error"]
HEAD += ["iterations", "note"]


def same_run(row: Row, ours: Row) -> bool:
    """A run that goes on, as with one more solver, keeps the rows of the one before."""
    return bool(row.get("run") == ours.get("run"))


def ratio(row: Row, ours: Row) -> float:
    """Time / time of ours: within the rounds where both ran in several of one run, else of medians."""
    if same_run(row, ours) and len(row["samples_s"]) > 1 and len(ours["samples_s"]) > 1:
        return statistics.median(paired(row["samples_s"], ours["samples_s"]))
    return statistics.median(row["samples_s"]) / statistics.median(ours["samples_s"])


def significant(value: float, digits: int = 3) -> str:
    """Without an exponent."""
    places = max(0, digits - 1 - math.floor(math.log10(value))) if value > 0 else 0
    return f"{value:.{min(places, 3)}f}"


def _ours(row: Row, all_rows: list[Row], threads: int) -> list[Row]:
    """Our row of the same problem."""
    return [
        other
        for other in all_rows
        if other["status"] == "ok"
        and (other["solver"], other["threads"]) == (OURS, threads)
        and (other["case"], other["classes"]) == (row["case"], row["classes"])
    ]


def _ratios(rows: list[Row], all_rows: list[Row], threads: int) -> str:
    """Geometric mean over the photographs, with the range where there are several."""
    found = [ratio(row, ours) for row in rows for ours in _ours(row, all_rows, threads)]
    if not found:
        return ""
    if min(found) == max(found) == 1:
        return "1"
    text = significant(statistics.geometric_mean(found))
    return f"{text} ({significant(min(found))} to {significant(max(found))})" if len(found) > 1 else text


def _span(values: Iterable[float | None], text: Callable[[float], str]) -> str:
    known = sorted(value for value in values if value is not None)
    if not known:
        return ""
    low, high = text(known[0]), text(known[-1])
    return low if low == high else f"{low} to {high}"


def _notes(rows: list[Row], all_rows: list[Row], threads: int) -> str:
    """What went wrong, or differently, and on how many of several photographs."""
    ok = [row for row in rows if row["status"] == "ok"]
    failed = [row for row in rows if row["status"] == "failed"]
    reached = [row for row in rows if row["status"] == "limit"]
    found = {
        "not converged": [row for row in ok if not row["converged"]],
        "limit reached": reached if ok or failed else [],  # else the time says so
        "failed": failed,
        "ichol shifted": [row for row in ok if row["ichol_shifts"]],
        "not in one run with ours": [
            row for row in ok if any(not same_run(row, ours) for ours in _ours(row, all_rows, threads))
        ],
        "no tight solution": [row for row in ok if row["max_error"] is None],
    }
    for commit in sorted({row["commit"] for row in ok if "commit" in row}):
        found[f"commit {commit}"] = [row for row in ok if row.get("commit") == commit]
    parts = []
    for what, which in found.items():
        if which:
            detail = f": {which[0]['detail']}" if what == "failed" else ""
            parts.append(what + (f" on {len(which)} of {len(rows)}" if len(rows) > 1 else "") + detail)
    return "; ".join(parts)


def _line(size: str, rows: list[Row], all_rows: list[Row], threads: int) -> list[str]:
    """One solver at one size, over all photographs of it."""
    ok = [row for row in rows if row["status"] == "ok"]
    name = rows[0]["solver"]
    if rows[0]["threads"] != threads:
        name += f", {rows[0]['threads']} thread"
    if ok:
        seconds = significant(statistics.geometric_mean(statistics.median(row["samples_s"]) for row in ok))
    else:
        seconds = f"> {rows[0]['limit_s']:g}" if rows[0]["status"] == "limit" else ""
    single = threads > 1 and name != OURS and not name.startswith(f"{OURS}, learning-based")
    means = [row["mean_error"] for row in ok if row["mean_error"] is not None]
    return [
        f"{size}, {name}",
        seconds,
        _ratios(ok, all_rows, threads) if rows[0]["threads"] == threads else "",
        _ratios(ok, all_rows, 1) if single or rows[0]["threads"] != threads else "",
        f"{max(row['peak_bytes'] for row in ok) / 2**20:.0f}" if ok else "",
        _span((row["max_error"] for row in ok), lambda value: f"{value:.1e}"),
        f"{statistics.fmean(means):.1e}" if means else "",
        _span((row["iterations"] for row in ok), lambda value: f"{value:.0f}"),
        _notes(rows, all_rows, threads),
    ]


def _tabulate(rows: list[Row], threads: int) -> str:
    """Sizes from small to large, solvers in their order, those with one thread last."""
    groups: dict[tuple[int, int, str, int], list[Row]] = {}
    for row in rows:
        groups.setdefault((row["height"], row["width"], row["solver"], row["threads"]), []).append(row)
    order = list(SOLVERS)
    ordered = sorted(
        groups.items(),
        key=lambda item: (item[0][0] * item[0][1], item[0][3] != threads, order.index(item[0][2])),
    )
    lines = []
    for (height, width, _, _), members in ordered:
        count = len({row["photo"] for row in rows if (row["height"], row["width"]) == (height, width)})
        size = f"{width} x {height}" + (f", {count} photographs" if count > 1 else "")
        lines.append(_line(size, members, rows, threads))
    head, without = list(HEAD), HEAD.index("time / ours, 1 thread")
    if not any(line[without] for line in lines):
        del head[without]
        for line in lines:
            del line[without]
    return table(head, lines)


def exponent(points: list[tuple[float, float]]) -> float:
    """Slope of log seconds against log pixels, by least squares."""
    xs, ys = ([math.log(value) for value in axis] for axis in zip(*points, strict=True))
    return statistics.linear_regression(xs, ys).slope


def _growth(rows: list[Row], photo: str, threads: int) -> str:
    """The exponents."""
    series: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["photo"] == photo and row["threads"] == threads and row["status"] == "ok":
            series.setdefault(row["solver"], []).append((row["pixels"], statistics.median(row["samples_s"])))
    parts = [
        f"{name}: {exponent(points):.2f} ({min(points)[0] / 1e6:.2f} to {max(points)[0] / 1e6:.2f} megapixels)"
        for name, points in series.items()
        if len(points) > 1
    ]
    if not parts:
        return ""
    return (
        "\n\nGrowth, time as a power of the number of pixels, by least squares on the logarithms of all sizes of "
        f"`{photo}`. {'; '.join(parts)}."
    )


def _large(large: Row) -> str:
    """The command line on a large photograph."""
    size = f"{large['width']} x {large['height']}"
    text = (
        f"`closedform-wsss matte photo.jpg scribbled.png -o out` on {size} pixels: a JPEG file of quality {QUALITY}, "
        f"{large['photo_bytes'] / 1e6:.1f} MB, and a copy of it as PNG with black and white strokes, "
        f"{large['scribbled_bytes'] / 1e6:.1f} MB. The picture is the photograph `coffee`, mirrored to size and not "
        "enlarged, so that there is detail down to the pixel. "
    )
    if large["status"] not in (0, 3):
        return text + f"**Failed with status {large['status']}: {large['last_line']}**"
    return text + (
        f"**{large['seconds']:.1f} seconds** on the wall from the start of Python to the last of five PNG files, "
        f"{large['user_s'] + large['system_s']:.1f} of processor time; peak memory **{large['peak_bytes'] / 2**30:.2f} "
        f"GiB**, all of the process. It said: {large['solved']}."
        + (" It did not converge." if large["status"] == 3 else "")
    )


def _agreement(found: Row | None) -> str:
    """How far both kinds of tight solutions are apart."""
    if not found:
        return ""
    known = [value for name, value in found.items() if name != "case" and value is not None]
    return f" Of {found['case']}, the two differ by {max(known):.0e} at most." if known else ""


def about(threads: int, found: Row | None) -> str:
    """What holds for all tables."""
    single = ", ours with one as well where photographs are small" if threads > 1 else ""
    return "\n".join(
        [
            f"{threads} thread(s){single}; pymatting and SciPy run on one whatever is set. Times are from the image "
            "and the marks to the mattes, set-up included: medians of rounds in turns, or a single run where that "
            "takes more than 10 seconds; of several photographs the geometric mean, with the range of the ratios in "
            "brackets. A ratio above 1 is slower than ours. Peak memory is beyond the inputs, in a process of its own, "
            "results included; of several photographs the largest. `> s`: killed at this limit; who was, or failed, is "
            "not run at larger sizes.",
            "",
            "Errors are against the tight solution of the very system that the solver was given, over the unmarked "
            "pixels, both clipped to [0, 1]. Marks are held with weight 100 by ours, `soft`, lbdm and SciPy, and "
            "fixed by `pymatting cf, ichol`; those of a trimap SciPy and cholespy fix too. Tight is a direct float64 "
            f"solution with a step of refinement up to {DIRECT / 1e6:g} megapixels, and our own solver in float64 with "
            f"tol {TIGHT_TOL:.0e} beyond (fixed marks: mark_weight {FIRM_CONFIDENCE:.0e})."
            f"{_agreement(found)} The largest error is that of the "
            "worst pixel, often in a spot that hardly anything ties to a mark.",
            "",
            f"* `{OURS}`: `solve_matting`, float32, mark_weight 100, tol 1e-3. With the learning-based Laplacian it "
            "solves for both of two classes.",
            "* `pymatting cf, ichol` and `lbdm, ichol`: `estimate_alpha_cf` and `estimate_alpha_lbdm` with their "
            "defaults, incomplete Cholesky and CG to a relative residual of 1e-7. `soft`: the same matrix, "
            "preconditioner or V-cycle, and CG, on the system with the marks held. `ichol shifted`: incomplete "
            "Cholesky broke down and was repeated with a larger diagonal.",
            "* `SciPy direct`: `splu` on pymatting's matrix, with ordering and pivoting for symmetric matrices.",
            f"* `SciPy CSR, Jacobi`: CG with that matrix and its diagonal, at most {CSR_ITERATIONS} iterations a map.",
            "* `pyamg`: the same system, and CG with a cycle of its root-node or smoothed aggregation method, given "
            "the near-null space [1, R, G, B]. `cholespy`: CHOLMOD's sparse Cholesky factor.",
            "",
            "Iterations of several maps are added up; ours, four maps at a time, are those of the slowest.",
        ]
    )


def markdown(payload: dict[str, Any], photo: str) -> str:
    """What was measured, and a table for each section."""
    rows, threads = payload["rows"], payload["threads"]
    text = about(threads, payload.get("agreement")) + "\n"
    scribbled = [row for row in rows if row["section"] == "scribbles"]
    for classes in sorted({row["classes"] for row in scribbled}):
        chosen = [row for row in scribbled if row["classes"] == classes]
        if classes == 2:
            title = "Photographs with scribbles, two classes"
            what = "Strokes on 1 % of the pixels; one map to solve for (two, learning-based)."
        else:
            title = f"Photographs with scribbles, {classes} classes"
            what = (
                f"A stroke a class, 1 % of the pixels; {classes - 1} maps to solve for, and the other is what those "
                "leave. `pymatting cf, ichol`, a function of one class, is called for all; the others set up once."
            )
        text += f"\n## {title}\n\n{what}\n\n{_tabulate(chosen, threads)}{_growth(chosen, photo, threads)}\n"
    trimaps = [row for row in rows if row["section"] == "lemur"]
    if trimaps:
        text += (
            "\n## Lemur with trimap\n\npymatting's own example; most pixels are known. `pymatting cf, ichol` and SciPy "
            f"fix these and solve for the others alone.\n\n{_tabulate(trimaps, threads)}\n"
        )
    if payload["large"]:
        megapixels = payload["large"]["height"] * payload["large"]["width"] / 1e6
        text += f"\n## {significant(megapixels, 2)} megapixels by the command line\n\n{_large(payload['large'])}\n"
    return text.rstrip()
