"""Mattes of real photographs: is ours right, and is it at least as good as pymatting's?

    python benchmarks mattes DATA              14 photographs with their first trimaps
    python benchmarks mattes DATA --limit 1    a quick look
    python benchmarks mattes DATA --laplacian learning_based

DATA holds images/, alpha/, trimap1/, trimap2/ (same file names; trimaps 0, 128 = unknown, 255; the training
images of the alpha matting benchmark, Rhemann et al., CVPR 2009) and levin_reference/ (source.png, trimap.png
with the same values, scribbles.png, matlab_alpha.png). Nothing of it is in this repository.

Writes results/mattes_trimap1.json after every image, so that an interrupted run goes on where it stopped, and
results/mattes_trimap1.md (or trimap2; _learning_based).
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pymatting
import torch
from common.exact import Matte, tight_mattes
from common.harness import RESULTS, describe_machine, write_json, write_markdown
from PIL import Image

from closedform_wsss import metrics
from closedform_wsss.functional import solve_matting
from closedform_wsss.io import IGNORE_INDEX, from_array
from closedform_wsss.laplacian import KINDS
from mattes.table import markdown

CONFIDENCE = 100.0
FIRM_CONFIDENCE = 1e4  # holds the marks almost as pymatting does, which fixes them
TOL = 1e-3  # the default of solve_matting
LARGEST_LEVIN_ERROR = 0.005


def read(path: Path, mode: str) -> Matte:
    """An image file as float64 in [0, 1]: ``(H, W)`` for mode L, ``(H, W, 3)`` for RGB."""
    return np.asarray(Image.open(path).convert(mode), dtype=np.float64) / 255


def marks_of(trimap: Matte) -> torch.Tensor:
    """Trimap ``(H, W)`` -> marks ``(1, H, W)``: 0, 1 or unmarked; the thresholds are pymatting's."""
    marks = np.full(trimap.shape, IGNORE_INDEX)
    marks[trimap < 0.1], marks[trimap > 0.9] = 0, 1
    return torch.from_numpy(marks)[None]


def ours(
    image: Matte, trimap: Matte, mark_weight: float = CONFIDENCE, laplacian: str = "closed_form"
) -> tuple[Matte, dict[str, Any]]:
    """Our matte, clipped, and how the solve went; operator included in the time."""
    tensor = from_array(image)[None].float()
    marks = marks_of(trimap)
    started = time.perf_counter()
    options = dict(num_classes=2, kind=laplacian, mark_weight=mark_weight, tol=TOL)
    solution = solve_matting(marks, tensor, **options)
    alpha = solution.alpha
    seconds = time.perf_counter() - started
    report = {
        "seconds": seconds,
        "iterations": solution.iterations,
        "estimated_error": solution.error,
        "converged": solution.converged,
    }
    return alpha[0, 1].double().clamp(0, 1).numpy(), report


def theirs(image: Matte, trimap: Matte, laplacian: str = "closed_form") -> tuple[Matte, dict[str, Any]]:
    """pymatting's matte with its defaults: incomplete Cholesky, CG, clipped; its iterations."""
    count = 0

    def counting(*_: Any) -> None:
        nonlocal count
        count += 1

    started = time.perf_counter()
    estimate = pymatting.estimate_alpha_cf if laplacian == "closed_form" else pymatting.estimate_alpha_lbdm
    alpha = estimate(image, trimap, cg_kwargs={"callback": counting})
    return np.asarray(alpha), {"seconds": time.perf_counter() - started, "iterations": count}


def errors(alpha: Matte, truth: Matte, unknown: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, float]:
    """SAD and gradient error divided by 1000, MSE times 1000, as the literature prints them."""
    return {
        "sad": metrics.sad(alpha, truth, unknown) / 1e3,
        "mse": metrics.mse(alpha, truth, unknown) * 1e3,
        "gradient": metrics.gradient_error(alpha, truth, unknown) / 1e3,
    }


def levin(folder: Path) -> dict[str, Any]:
    """Our solution of Levin's own example against what his MATLAB code gave."""
    image, trimap = read(folder / "source.png", "RGB"), read(folder / "trimap.png", "L")
    alpha, report = ours(image, trimap)
    difference = np.abs(alpha - read(folder / "matlab_alpha.png", "L"))
    report |= {"mean_difference": float(difference.mean()), "max_difference": float(difference.max())}
    report["asserted_below"] = LARGEST_LEVIN_ERROR
    assert report["max_difference"] < LARGEST_LEVIN_ERROR, f"differs from Levin's MATLAB result: {report}"
    return report


def one(data: Path, name: str, trimaps: str, laplacian: str, tight: bool) -> dict[str, Any]:
    """One photograph: both mattes, their errors and times."""
    image, trimap = read(data / "images" / name, "RGB"), read(data / trimaps / name, "L")
    truth = read(data / "alpha" / name, "L")
    unknown = (trimap >= 0.1) & (trimap <= 0.9)
    mine, my_report = ours(image, trimap, laplacian=laplacian)
    firm, firm_report = ours(image, trimap, FIRM_CONFIDENCE, laplacian)
    other, other_report = theirs(image, trimap, laplacian)
    row: dict[str, Any] = {
        "image": name.removesuffix(".png"),
        "height": image.shape[0],
        "width": image.shape[1],
        "unknown": int(unknown.sum()),
        "ours": my_report | errors(mine, truth, unknown),
        "ours_firm": firm_report | errors(firm, truth, unknown),
        "pymatting": other_report | errors(other, truth, unknown),
        "largest_difference": float(np.abs(mine - other)[unknown].max()),
    }
    if tight:
        started = time.perf_counter()
        soft, hard, residual = tight_mattes(image, marks_of(trimap)[0].numpy(), CONFIDENCE, IGNORE_INDEX)
        row["tight"] = {
            "ours_max": float(np.abs(mine - soft)[unknown].max()),
            "ours_mean": float(np.abs(mine - soft)[unknown].mean()),
            "pymatting_max": float(np.abs(other - hard)[unknown].max()),
            "pymatting_mean": float(np.abs(other - hard)[unknown].mean()),
            "soft_hard_max": float(np.abs(soft - hard)[unknown].max()),
            "soft_sad": errors(soft, truth, unknown)["sad"],
            "hard_sad": errors(hard, truth, unknown)["sad"],
            "relative_residual": residual,
            "seconds": time.perf_counter() - started,
        }
    return row


def earlier(before: dict[str, Any], payload: dict[str, Any], names: list[str], tight: bool) -> list[dict[str, Any]]:
    """The rows of an interrupted run of these images. None of another build, thread count, machine or pymatting."""
    same = all(before["machine"][key] == payload["machine"][key] for key in ("cpu", "commit", "build", "packages"))
    if not same or before["threads"] != payload["threads"]:
        return []
    return [row for row in before["rows"] if f"{row['image']}.png" in names and ("tight" in row or not tight)]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("data", metavar="DATA", type=Path, help="folder with images/, alpha/, trimap1/ and levin_reference/")
    add("--trimap", type=int, choices=(1, 2), default=1, help="2 is the coarser (default 1)")
    add(
        "--limit",
        type=int,
        metavar="N",
        help="the first N photographs only (result files get the suffix _quick)",
    )
    add("--laplacian", choices=KINDS, default="closed_form", help="kind of matting Laplacian (default %(default)s)")
    add("--threads", type=int, help="CPU threads (default: torch's choice)")
    add("--tight", action="store_true", help="also solve exactly and tell how far each is from that")
    add("--fresh", action="store_true", help="forget the images that were done before")
    args = parser.parse_args()
    if args.tight and args.laplacian != "closed_form":
        parser.error("--tight is for the closed form only")
    if not any((args.data / "images").glob("*.png")):
        parser.error("DATA must hold a folder images/ with PNG files")
    return args


def main() -> None:
    """Levin's example, then image after image."""
    args = arguments()
    if args.threads:
        torch.set_num_threads(args.threads)
    trimaps = f"trimap{args.trimap}"
    closed_form = args.laplacian == "closed_form"
    name = f"mattes_{trimaps}" + ("" if closed_form else f"_{args.laplacian}") + ("_quick" if args.limit else "")
    payload: dict[str, Any] = {"machine": describe_machine(), "trimaps": trimaps, "levin": None, "rows": []}
    payload["laplacian"] = args.laplacian
    payload["threads"] = torch.get_num_threads()
    names = sorted(path.name for path in (args.data / "images").glob("*.png"))[: args.limit]
    stored = RESULTS / f"{name}.json"
    if stored.exists() and not args.fresh:
        payload["rows"] = earlier(json.loads(stored.read_text()), payload, names, args.tight)
    if closed_form and (args.data / "levin_reference").is_dir():
        payload["levin"] = levin(args.data / "levin_reference")
        print(f"Levin's example: largest difference {payload['levin']['max_difference']:.4f}", file=sys.stderr)

    warm = np.random.default_rng(0).random((16, 16, 3))
    theirs(
        warm, np.tile(np.repeat([0.0, 0.5, 1.0], [4, 8, 4]), (16, 1)), args.laplacian
    )  # numba compiles at the first call
    done = {row["image"] for row in payload["rows"]}
    for file in names:
        if file.removesuffix(".png") in done:
            continue
        row = one(args.data, file, trimaps, args.laplacian, args.tight)
        payload["rows"] = sorted([*payload["rows"], row], key=lambda item: str(item["image"]))
        write_json(name, payload)
        summary = {who: {k: round(row[who][k], 3) for k in ("sad", "seconds")} for who in ("ours", "pymatting")}
        print(f"{row['image']}: {summary}", file=sys.stderr, flush=True)
    write_json(name, payload)
    options = [option for option in sys.argv[1:] if option != str(args.data) and Path(option) != args.data]
    command = shlex.join(["python", "benchmarks", "mattes", "DATA", *options])
    write_markdown(name, "Mattes", command, payload["machine"], markdown(payload))
