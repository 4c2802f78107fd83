"""Commands over a data set, under load and faults: what is lost, how fast, and how much memory.

    python benchmarks reliability refine-cams|matte [--images 10000] [--kills 20] [--quick]

Makes small synthetic images, class activation maps and scribbles, one in a hundred of the latter two cut off in the
middle. The command goes over them undisturbed; then again, killed (SIGKILL, all processes or one worker)
at random moments and started anew until they end; then as two ranks of torchrun, one of them killed and started anew.
All results are compared, byte by byte, with the undisturbed ones. Speed against one worker is measured on the first
images, in turns. Linux only: processes are watched in /proc. Writes results/reliability_COMMAND.json and .md.
"""

from __future__ import annotations

import argparse
import os
import random
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from common.harness import describe_machine, table, write_json, write_markdown
from PIL import Image, ImageDraw

from closedform_wsss.io import write_cam

SIZE = (96, 72)  # width, height
DAMAGED = 100  # one in so many
COMMANDS = {"refine-cams": ("cams", []), "matte": ("scribbles", ["--colors", "0000ff,ff0000", "--tol", "0.01"])}
MAIN = "import sys; from closedform_wsss.cli import main; sys.exit(main(sys.argv[1:]))"


def make_data(folder: Path, count: int) -> None:
    """Images, CAMs and scribbled copies."""
    for name in ("images", "cams", "scribbles"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k in range(count):
        coarse = Image.fromarray(rng.integers(60, 190, (6, 8, 3), np.uint8))
        picture = coarse.resize(SIZE, Image.Resampling.BICUBIC)
        picture.save(folder / "images" / f"{k:05}.png", compress_level=1)
        write_cam(folder / "cams" / f"{k:05}.npz", [1, 2], rng.random((2, 5, 6), np.float32), format="npz")
        pen = ImageDraw.Draw(picture)
        pen.line([(8, 10), (80, 12)], (0, 0, 255), 3)
        pen.line([(20, 60), (70, 55)], (255, 0, 0), 3)
        picture.save(folder / "scribbles" / f"{k:05}.png", compress_level=1)
        if k % DAMAGED == DAMAGED - 1:
            for path in (folder / "cams" / f"{k:05}.npz", folder / "scribbles" / f"{k:05}.png"):
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


class Run:
    """The command in a session of its own, so that all of its processes can be found and killed."""

    def __init__(self, command: str, data: Path, output: Path, workers: int, rank: int = 0, world: int = 1) -> None:
        marks, options = COMMANDS[command]
        folders = [str(data / "images"), str(data / marks), "-o", str(output)]
        ranks = {"RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world)} if world > 1 else {}
        self.log = data / f"{output.name}-{rank}.log"
        self.began = time.monotonic()
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", MAIN, command, *folders, "--workers", str(workers), *options],
                start_new_session=True,
                stdout=log,
                stderr=log,
                env={**os.environ, **ranks},
            )

    def memory(self) -> dict[int, int]:
        """Resident bytes of each of its processes, itself the first."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if os.getsid(int(entry.name)) == self.process.pid:
                        pages = (entry / "statm").read_text().split()[1]
                        found[int(entry.name)] = int(pages) * os.sysconf("SC_PAGE_SIZE")
                except (OSError, IndexError):  # it ended meanwhile
                    continue
        return dict(sorted(found.items()))

    def end(self) -> float:
        """Waits, and returns the seconds that it took."""
        self.process.wait()
        return time.monotonic() - self.began

    def kill(self, whom: str) -> None:
        """All processes, or one worker, whose image then counts as failed."""
        if whom == "all":
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            return
        workers = [pid for pid in self.memory() if pid != self.process.pid]
        if workers:
            os.kill(workers[-1], signal.SIGKILL)


def visible(output: Path) -> dict[str, bytes]:
    """The results as a user sees them: no hidden files."""
    found = {}
    for path in output.rglob("*"):
        relative = path.relative_to(output)
        if path.is_file() and path.suffix != ".json" and not any(part.startswith(".") for part in relative.parts):
            found[str(relative)] = path.read_bytes()
    return found


def undisturbed(command: str, data: Path, workers: int) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Time, named files, and memory at the beginning, the middle and the end."""
    run = Run(command, data, data / f"{command}-whole", workers)
    samples = []
    while run.process.poll() is None:
        samples.append(sum(run.memory().values()))
        time.sleep(0.25)
    seconds = run.end()
    parts = np.array_split(np.array(samples[len(samples) // 10 :]), 3)  # without the start of the processes
    named = sum(line.startswith(str(data / "images")) for line in run.log.read_text().splitlines())
    figures = {
        "seconds": seconds,
        "named": named,
        "memory": [float(np.median(part)) / 2**20 if len(part) else float("nan") for part in parts],
    }
    return figures, visible(data / f"{command}-whole")


def killed(
    command: str, data: Path, workers: int, kills: int, whole: dict[str, bytes], seconds: float
) -> dict[str, Any]:
    """Kills at random moments; after each, whatever is visible must be a whole result."""
    output = data / f"{command}-killed"
    rng = random.Random(0)
    counts = {"all": 0, "one worker": 0}
    wrong = 0
    run = Run(command, data, output, workers)
    while sum(counts.values()) < kills:
        time.sleep(rng.uniform(0.1, 2 * seconds / kills + 3))
        if run.process.poll() is not None:  # it ended before: nothing is left to do
            break
        whom = "all" if sum(counts.values()) % 2 == 0 else "one worker"
        run.kill(whom)
        counts[whom] += 1
        if whom == "all":
            wrong += sum(whole.get(name) != content for name, content in visible(output).items())
            run = Run(command, data, output, workers)
    run.end()
    Run(command, data, output, workers).end()  # the images of killed workers
    return {**counts, "half-written": wrong, "lost": difference(visible(output), whole), "hidden": hidden(output)}


def ranks(command: str, data: Path, whole: dict[str, bytes], seconds: float) -> dict[str, Any]:
    """Two processes as torchrun starts them, sharing nothing but the folder; one is killed and started anew."""
    output = data / f"{command}-ranks"
    runs = [Run(command, data, output, 1, rank, 2) for rank in (0, 1)]
    time.sleep(2 + seconds / 4)
    runs[1].kill("all")
    runs[1] = Run(command, data, output, 1, 1, 2)
    for run in runs:
        run.end()
    return {"lost": difference(visible(output), whole), "hidden": hidden(output)}


def difference(found: dict[str, bytes], whole: dict[str, bytes]) -> int:
    return sum(found.get(name) != content for name, content in whole.items()) + len(found.keys() - whole.keys())


def hidden(output: Path) -> int:
    return sum(path.name.endswith(".tmp") for path in output.rglob("*"))


def speed(command: str, data: Path, cores: int, repeats: int) -> list[float]:
    """Seconds of one worker over seconds of one a core, in turns."""
    ratios = []
    for _ in range(repeats):
        times = []
        for workers in (1, cores):
            output = data / "speed"
            times.append(Run(command, data, output, workers).end())
            shutil.rmtree(output)
        ratios.append(times[0] / times[1])
    return ratios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("command", choices=tuple(COMMANDS))
    parser.add_argument("--images", type=int, default=10000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few images: does it run?")
    args = parser.parse_args()
    if args.quick:
        args.images, args.kills, args.repeats = 200, 2, 1
    cores = len(os.sched_getaffinity(0))
    machine = describe_machine()
    command = args.command
    with tempfile.TemporaryDirectory() as scratch:
        data, few = Path(scratch, "data"), Path(scratch, "few")
        make_data(data, args.images)
        make_data(few, max(args.images // 10, 50))
        plain, whole = undisturbed(command, data, cores)
        ratios = speed(command, few, cores, args.repeats)
        faults = killed(command, data, cores, args.kills, whole, plain["seconds"])
        shared = ranks(command, data, whole, plain["seconds"])
    good = args.images - args.images // DAMAGED
    rows = [
        [f"images a second, {cores} workers", f"{good / plain['seconds']:.0f}"],
        [f"against 1 worker, on {max(args.images // 10, 50)} images", f"{statistics.median(ratios):.2f} times"],
        ["damaged files, and lines that name them", f"{args.images // DAMAGED}, {plain['named']}"],
        ["MiB of all processes, first, middle, last third", ", ".join(f"{m:.0f}" for m in plain["memory"])],
        ["SIGKILL to all processes, to one worker", f"{faults['all']}, {faults['one worker']}"],
        ["half-written results seen after a kill", str(faults["half-written"])],
        [f"results lost or different at the end, of {len(whole)}", str(faults["lost"])],
        ["the same, two ranks, one killed and started anew", str(shared["lost"])],
        ["temporary files left at the end", str(faults["hidden"] + shared["hidden"])],
    ]
    body = (
        f"{args.images} images of {SIZE[0]} x {SIZE[1]} pixels with maps or strokes of two classes. Memory is summed "
        "over processes, pages that they share counted in each.\n\n" + table([command, "measured"], rows)
    )
    figures = {"undisturbed": plain, "files": len(whole), "speed": ratios, "killed": faults, "ranks": shared}
    if args.quick:
        print(body)
        return
    name = f"reliability_{command}"
    write_json(name, {"machine": machine, "figures": figures})
    how = shlex.join(["python", "benchmarks", "reliability", *sys.argv[1:]])
    write_markdown(name, f"{command} over a data set", how, machine, body)
