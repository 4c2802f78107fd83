"""The tables of the matte benchmark."""

from __future__ import annotations

import statistics
from typing import Any

from common.harness import table

ERRORS = ("sad", "mse", "gradient")


def markdown(payload: dict[str, Any]) -> str:
    """Levin's example, the table of errors, and how far both are from exact solutions."""
    reference, rows = payload["levin"], payload["rows"]
    text = ""
    if reference:
        text += (
            "## Levin's own example\n\nOur solution (the defaults: float32, mark_weight 100, eps 1e-7, 3 "
            "x 3 windows, tol 1e-3) differs from the result of Levin's MATLAB code by "
            f"{reference['mean_difference']:.4f} on average and {reference['max_difference']:.4f} at most "
            "(half a step of its 8-bit file is 0.002); asserted to be below "
            f"{reference['asserted_below']}. {reference['iterations']} iterations.\n\n"
        )
    head = ["image", *(f"{who} {what}" for what in ("SAD", "MSE", "gradient") for who in ("ours", "theirs"))]
    head += [
        "our SAD - theirs",
        "the same, mark_weight 1e4",
        "ours s",
        "theirs s",
        "time / ours",
        "our iterations",
        "estimated error",
        "theirs",
    ]
    cells = [
        [
            row["image"],
            *(f"{row[who][what]:.3f}" for what in ERRORS for who in ("ours", "pymatting")),
            f"{row['ours']['sad'] - row['pymatting']['sad']:+.4f}",
            f"{row['ours_firm']['sad'] - row['pymatting']['sad']:+.4f}",
            f"{row['ours']['seconds']:.2f}",
            f"{row['pymatting']['seconds']:.2f}",
            f"{row['pymatting']['seconds'] / row['ours']['seconds']:.2f}",
            str(row["ours"]["iterations"]),
            f"{row['ours']['estimated_error']:.0e}" + ("" if row["ours"]["converged"] else " (stopped)"),
            str(row["pymatting"]["iterations"]),
        ]
        for row in rows
    ]

    def mean(who: str, what: str) -> float:
        return statistics.fmean(row[who][what] for row in rows)

    cells.append(
        [
            f"mean of {len(rows)}",
            *(f"{mean(who, what):.3f}" for what in ERRORS for who in ("ours", "pymatting")),
            f"{mean('ours', 'sad') - mean('pymatting', 'sad'):+.4f}",
            f"{mean('ours_firm', 'sad') - mean('pymatting', 'sad'):+.4f}",
            f"{mean('ours', 'seconds'):.2f}",
            f"{mean('pymatting', 'seconds'):.2f}",
            f"{mean('pymatting', 'seconds') / mean('ours', 'seconds'):.2f}",
            f"{mean('ours', 'iterations'):.0f}",
            "",
            f"{mean('pymatting', 'iterations'):.0f}",
        ]
    )
    text += (
        f"## Photographs, {payload['trimaps']}, {payload['threads']} thread(s)\n\nTraining images of the "
        "alpha matting benchmark (Rhemann et al., CVPR 2009). Errors over the unknown region: SAD / "
        "1000, MSE x 1000, gradient / 1000; less is better, and a negative difference is in our favour. "
        f"Ours: solve_matting, {payload['laplacian']}, float32, mark_weight 100, tol 1e-3; theirs: pymatting's "
        f"{'estimate_alpha_cf' if payload['laplacian'] == 'closed_form' else 'estimate_alpha_lbdm'} "
        "with its defaults. Both clipped to [0, 1], same image and trimap, eps 1e-7, one run each, "
        "operator included. time / ours above 1: ours is faster. pymatting fixes the known pixels, a weight of 100 "
        "holds them softly, of 1e4 almost as firmly: what differs between the two columns is that.\n\n"
        + table(head, cells)
    )
    exact = [row for row in rows if "tight" in row]
    if exact:
        head = ["image", "ours, mean", "ours, max", "theirs, mean", "theirs, max", "exact soft - hard, max"]
        head += ["exact soft SAD", "exact hard SAD", "relative residual"]
        keys = ("ours_mean", "ours_max", "pymatting_mean", "pymatting_max", "soft_hard_max")
        cells = [
            [
                row["image"],
                *(f"{row['tight'][key]:.1e}" for key in keys),
                f"{row['tight']['soft_sad']:.3f}",
                f"{row['tight']['hard_sad']:.3f}",
                f"{row['tight']['relative_residual']:.0e}",
            ]
            for row in exact
        ]
        text += (
            "\n\n## Distance from the exact solutions\n\nEach solver against a sparse direct float64 "
            "solution of its own system: ours with marks of weight 100 (soft), pymatting with known "
            "pixels fixed (hard). Unknown region, clipped. A difference in SAD that the exact solutions "
            "show as well comes from the systems; what is left is the solvers' error.\n\n" + table(head, cells)
        )
    return text
