"""Colours of the foreground: is ours near to the truth, and to the exact solution; time and memory against pymatting's.

    python benchmarks mattes.foreground DATA              14 mattes
    python benchmarks mattes.foreground DATA --limit 1    a quick look

DATA holds images/ and alpha/ (same file names): the training images of the alpha matting benchmark (Rhemann et al.,
CVPR 2009). Nobody knows the colours of their foregrounds, so known colours are mixed by their mattes, which are real:
each photograph, and one of scikit-image, over another one of scikit-image, rounded to 8 bits.

Writes results/foreground.json and .md with the errors, and results/foreground_time.json and .md with time and memory;
--only runs one of them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pymatting
import scipy.sparse
import scipy.sparse.linalg
import skimage.data
import torch
from common.exact import Matte
from common.harness import Method, describe_machine, race, ratio_text, table, write_json, write_markdown
from common.inputs import photo
from common.memory import measure
from common.paths import script

from closedform_wsss import metrics
from closedform_wsss.functional import estimate_foreground
from closedform_wsss.io import from_array
from mattes.mattes import read

SMOOTHNESS, GRADIENT_WEIGHT = 5e-3, 0.1  # our defaults
EXACT_SIDE = 256  # of the crops that are also solved exactly
ROUNDS = 5
LARGE = 2160, 3840

Estimate = Callable[[Matte, Matte], Matte]


def ours(image: Matte, alpha: Matte, num_iters: int = 10) -> Matte:
    """Of an image ``(H, W, 3)``, in float32."""
    tensor, matte = from_array(image)[None].float(), torch.from_numpy(alpha)[None].float()
    return estimate_foreground(tensor, matte, num_iters=num_iters)[0].permute(1, 2, 0).double().numpy()


def theirs(image: Matte, alpha: Matte, **options: Any) -> Matte:
    """pymatting's multi-level method."""
    return np.asarray(pymatting.estimate_foreground_ml(image, alpha, **options))


SAME = {"regularization": SMOOTHNESS, "gradient_weight": GRADIENT_WEIGHT}
METHODS: dict[str, Estimate] = {
    "ours": ours,
    "ours, 30 iterations": lambda image, alpha: ours(image, alpha, 30),
    "pymatting ml": theirs,
    "pymatting ml, our weights": lambda image, alpha: theirs(image, alpha, **SAME),
    "pymatting ml, our weights, 10 iterations": lambda image, alpha: theirs(image, alpha, n_big_iterations=10, **SAME),
    "pymatting cf": lambda image, alpha: np.asarray(pymatting.estimate_foreground_cf(image, alpha)),
    "the image itself": lambda image, alpha: image,
}


def exact(image: Matte, alpha: Matte) -> Matte:
    """The solution of our energy by a sparse direct solver in float64; colours that mix to the image, clipped."""
    h, w = alpha.shape
    a, index = alpha.reshape(-1), np.arange(h * w).reshape(h, w)
    first = np.concatenate([index[:, :-1].ravel(), index[:-1].ravel()])
    second = np.concatenate([index[:, 1:].ravel(), index[1:].ravel()])
    weight = SMOOTHNESS + GRADIENT_WEIGHT * np.abs(a[first] - a[second])
    pairs = np.arange(len(first))
    rows, columns = np.concatenate([pairs, pairs]), np.concatenate([first, second])
    values = np.concatenate([np.sqrt(weight), -np.sqrt(weight)])
    difference = scipy.sparse.csr_array((values, (rows, columns)), (len(first), h * w))
    graph = (difference.T @ difference).tocsr()
    a_f, a_b = scipy.sparse.diags(a), scipy.sparse.diags(1 - a)
    system = scipy.sparse.block_array([[a_f @ a_f + graph, a_f @ a_b], [a_b @ a_f, a_b @ a_b + graph]]).tocsc()
    goal = image.reshape(-1, 3)
    right = np.concatenate([a[:, None] * goal, (1 - a)[:, None] * goal])
    factor = scipy.sparse.linalg.splu(
        system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    foreground, background = factor.solve(right).clip(0, 1).reshape(2, -1, 3)
    missing = goal - a[:, None] * foreground - (1 - a)[:, None] * background
    return (foreground + (a / (a**2 + (1 - a) ** 2))[:, None] * missing).clip(0, 1).reshape(h, w, 3)


def mixtures(data: Path, name: str, number: int) -> list[tuple[str, Matte, Matte, Matte]]:
    """(foreground's name, mixed image, alpha, foreground) for one matte."""
    alpha, own = read(data / "alpha" / name, "L"), read(data / "images" / name, "RGB")
    pictures = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.chelsea(), skimage.data.rocket()]
    front, back = (_mirrored(pictures[(number + k) % 4] / 255, alpha.shape) for k in (0, 1))
    found = []
    for what, foreground in (("own", own), ("other", front)):
        mixed = alpha[..., None] * foreground + (1 - alpha[..., None]) * back
        found.append((what, np.round(mixed * 255) / 255, alpha, foreground))
    return found


def _mirrored(picture: Matte, size: tuple[int, ...]) -> Matte:
    missing = [(0, max(0, wanted - side)) for wanted, side in zip(size, picture.shape, strict=False)]
    return np.pad(picture, (*missing, (0, 0)), mode="symmetric")[: size[0], : size[1]]


def errors(found: Matte, truth: Matte, alpha: Matte) -> dict[str, float]:
    """Of alpha F, where 0 < alpha < 1: the error of the foreground composed over any other background."""
    soft = (alpha > 0) & (alpha < 1)
    pairs = [(alpha * found[..., c], alpha * truth[..., c]) for c in range(3)]
    return {
        "sad": statistics.fmean(metrics.sad(one, other, soft) / 1e3 for one, other in pairs),
        "mse": statistics.fmean(metrics.mse(one, other, soft) * 1e3 for one, other in pairs),
        "gradient": statistics.fmean(metrics.gradient_error(one, other, soft) / 1e3 for one, other in pairs),
    }


def from_exact(image: Matte, alpha: Matte, foreground: Matte) -> dict[str, float]:
    """How far ours is from the exact solution, on a crop around the soft pixels."""
    rows, columns = np.nonzero((alpha > 0) & (alpha < 1))
    top, left = (max(int(np.median(places)) - EXACT_SIDE // 2, 0) for places in (rows, columns))
    crop = slice(top, top + EXACT_SIDE), slice(left, left + EXACT_SIDE)
    image, alpha, foreground = image[crop], np.ascontiguousarray(alpha[crop]), foreground[crop]
    best = exact(image, alpha)
    difference = alpha[..., None] * np.abs(ours(image, alpha) - best)
    soft = (alpha > 0) & (alpha < 1)
    return {
        "mean_difference": float(difference[soft].mean()),
        "max_difference": float(difference[soft].max()),
        "ours_mse": errors(ours(image, alpha), foreground, alpha)["mse"],
        "exact_mse": errors(best, foreground, alpha)["mse"],
    }


def one(data: Path, name: str, number: int) -> list[dict[str, Any]]:
    """All methods on the two mixtures of one matte."""
    rows = []
    for what, image, alpha, foreground in mixtures(data, name, number):
        row: dict[str, Any] = {"image": name.removesuffix(".png"), "foreground": what}
        row["errors"] = {who: errors(estimate(image, alpha), foreground, alpha) for who, estimate in METHODS.items()}
        row["exact"] = from_exact(image, alpha, foreground)
        rows.append(row)
    return rows


def large_inputs(height: int, width: int) -> tuple[Matte, Matte]:
    """A photograph of any size, and a matte with a soft edge of 64 pixels on every side of a disc."""
    y, x = np.mgrid[:height, :width]
    distance = np.hypot(y - height / 2, x - width / 2) - 0.35 * min(height, width)
    image = np.ascontiguousarray(photo(height, width)[0].permute(1, 2, 0).double().numpy())
    return image, (0.5 - distance / 64).clip(0, 1)


def timing(height: int, width: int, threads: int) -> list[Any]:
    """Both multi-level methods in turns; their own inputs, so that nobody converts."""
    image, alpha = large_inputs(height, width)
    tensor, matte = from_array(image)[None].float().contiguous(), torch.from_numpy(alpha)[None].float()
    narrow = image.astype(np.float32), alpha.astype(np.float32)
    torch.set_num_threads(threads)
    numba.set_num_threads(threads)
    methods = [
        Method("ours", lambda: estimate_foreground(tensor, matte)),
        Method("pymatting ml", lambda: theirs(*narrow)),
        Method("pymatting ml, 10 iterations", lambda: theirs(*narrow, n_big_iterations=10)),
    ]
    return race("foreground", f"{height} x {width}", threads, methods, repeats=ROUNDS, budget=60)


def child(who: str, height: int, width: int) -> None:
    """Prints the peak memory of one method, in a process of its own."""
    warm = large_inputs(16, 16)
    image, alpha = (part.astype(np.float32) for part in large_inputs(height, width))
    if who == "ours":
        ours(*warm)
        tensor, matte = from_array(image)[None].contiguous(), torch.from_numpy(alpha)[None]
        _, used, exact_figure = measure(lambda: estimate_foreground(tensor, matte))
    else:
        theirs(*(part.astype(np.float32) for part in warm))
        _, used, exact_figure = measure(lambda: theirs(image, alpha))
    print(json.dumps({"bytes": used, "exact": exact_figure}))


def memory(who: str, height: int, width: int) -> int:
    """Bytes beyond the inputs."""
    command = [*script("mattes.foreground"), "--child", who, str(height), str(width)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(done.stdout.splitlines()[-1])["bytes"])


def markdown(payload: dict[str, Any]) -> str:
    """Errors, and the distance from the exact solution."""
    rows = payload["rows"]
    mattes = len({row["image"] for row in rows})
    text = (
        f"## Errors, {len(rows)} mixtures of {mattes} mattes\n\nError of alpha F where 0 < alpha < 1, the mean of the "
        "mixtures and channels: SAD / 1000, MSE x 1000, gradient / 1000; less is better. It is the error of the "
        "foreground composed over any other background. The mattes are the true ones.\n\n"
    )
    head = ["method", "SAD", "MSE", "gradient", "MSE is lower than with pymatting ml"]
    cells = []
    for who in METHODS:
        means = [statistics.fmean(row["errors"][who][what] for row in rows) for what in ("sad", "mse", "gradient")]
        wins = sum(row["errors"][who]["mse"] < row["errors"]["pymatting ml"]["mse"] for row in rows)
        cells.append([who, *(f"{mean:.3f}" for mean in means), f"{wins} of {len(rows)}"])
    text += table(head, cells)
    text += (
        "\n\npymatting ml: `estimate_foreground_ml` with its defaults; our weights: with the weights of the energy "
        f"that are our defaults, {SMOOTHNESS:g} and {GRADIENT_WEIGHT:g} (its own are 1e-5 and 1); 10 iterations: at "
        "each size, in place of its 2. cf: `estimate_foreground_cf` with its defaults. The number of our iterations "
        "and the lowest eigenvalue were chosen on eight mixtures of the same mattes.\n"
    )
    distance = {key: [row["exact"][key] for row in rows] for key in rows[0]["exact"]}
    text += (
        f"\n## Distance from the exact solution\n\nOn crops of {EXACT_SIDE} x {EXACT_SIDE} pixels, alpha F of ours "
        "differs from that of a sparse direct solution of the same energy, in float64, by "
        f"{statistics.fmean(distance['mean_difference']):.4f} on average and {max(distance['max_difference']):.3f} at "
        f"most (0 < alpha < 1). MSE x 1000 of ours {statistics.fmean(distance['ours_mse']):.3f}, of the exact solution "
        f"{statistics.fmean(distance['exact_mse']):.3f}.\n"
    )
    return text


def time_markdown(payload: dict[str, Any]) -> str:
    """Time and memory."""
    text = "float32 inputs; medians over the rounds. time / ours above 1: ours is faster.\n\n"
    cells = []
    for case in payload["timing"]:
        reference = case[0]
        for result in case:
            used = payload["memory"].get(result["name"]) if result["case"] == payload["memory"]["case"] else None
            cells.append(
                [
                    f"{result['case']}, {result['threads']} thread(s)",
                    result["name"],
                    f"{result['median_s']:.2f}",
                    "1" if result is reference else result["text"],
                    "" if used is None else f"{used / 2**20:.0f}",
                ]
            )
    return text + table(["case", "method", "seconds", "time / ours", "memory MiB"], cells) + "\n"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("data", metavar="DATA", nargs="?", type=Path, help="folder with images/ and alpha/")
    add("--limit", type=int, metavar="N", help="the first N mattes, small sizes (result files get the suffix _quick)")
    add("--only", choices=("errors", "time"), help="one of the two parts")
    add("--threads", type=int, nargs="+", default=[1], help="CPU threads of ours in the timing (default 1)")
    add("--child", nargs=3, metavar=("WHO", "HEIGHT", "WIDTH"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is None and (args.data is None or not (args.data / "alpha").is_dir()):
        parser.error("DATA must hold a folder alpha/")
    return args


def main() -> None:
    """Errors of every matte; time and memory."""
    args = arguments()
    if args.child:
        child(args.child[0], *map(int, args.child[1:]))
        return
    options = [option for option in sys.argv[1:] if Path(option) != args.data]
    command = shlex.join(["python", "benchmarks", "mattes.foreground", "DATA", *options])
    suffix = "_quick" if args.limit else ""
    payload: dict[str, Any] = {"machine": describe_machine()}
    if args.only != "time":
        payload["rows"] = []
        names = sorted(path.name for path in (args.data / "alpha").glob("*.png"))[: args.limit]
        for number, name in enumerate(names):
            payload["rows"] += one(args.data, name, number)
            print(name, payload["rows"][-1]["errors"]["ours"], file=sys.stderr, flush=True)
        write_json(f"foreground{suffix}", payload)
        write_markdown(f"foreground{suffix}", "Foreground colours", command, payload["machine"], markdown(payload))
    if args.only != "errors":
        sizes = [(60, 80)] if args.limit else [(600, 800), LARGE]
        payload = {"machine": describe_machine(), "timing": []}
        for size in sizes:
            for threads in args.threads:
                results = timing(*size, threads)
                payload["timing"].append([vars(result) | {"text": ratio_text(result)} for result in results])
        height, width = sizes[-1]
        payload["memory"] = {"case": f"{height} x {width}"}
        for who in ("ours", "pymatting ml"):
            payload["memory"][who] = memory(who, height, width)
        name, title = f"foreground_time{suffix}", "Foreground colours, time and memory"
        write_json(name, payload)
        write_markdown(name, title, command, payload["machine"], time_markdown(payload))
