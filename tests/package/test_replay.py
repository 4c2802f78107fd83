"""tests/replay: what it records is what the kernels compute without Python, and a difference shows."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import replay
import torch

pytestmark = pytest.mark.skipif(not (replay.ROOT / "csrc").is_dir(), reason="the sources are not here")


def test_scratch_memory_is_named_as_in_the_declarations():
    names = {name for listed in replay.parameters().values() for name in listed}
    assert names > replay.SCRATCH
    assert {kernel.rpartition("_")[0] for kernel in replay.kernels()} == set(replay.parameters())


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The replay for this machine."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not here")
    folder = tmp_path_factory.mktemp("replay")

    def compiled(source: Path) -> Path:
        # The reader is compiled for speed of the compiler, the kernels as they are built.
        level = "-O0" if source.stem == "replay" else "-O2"
        flags = [level, "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-w", *replay.options()]
        file = folder / f"{source.stem}.o"
        subprocess.run(["g++", *flags, "-c", str(source), "-o", str(file)], check=True)
        return file

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, replay.sources()))
    subprocess.run(["g++", "-fopenmp", *map(str, objects), "-o", str(folder / "replay")], check=True)
    return folder / "replay"


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("calls") / "calls"
    assert replay.record(file) == replay.kernels()
    return file


def run(program: Path, calls: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, calls], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_kernel_is_replayed(program: Path, calls: Path):
    done = run(program, calls)
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == f"level baseline: {len(replay.kernels())} kernels, 0 wrong"


@pytest.mark.slow
def test_a_difference_shows(program: Path, calls: Path, tmp_path: Path):
    """The result of the first call is another one, by a thousandth of its largest value."""
    contents = bytearray(calls.read_bytes())
    kernel = contents.split(maxsplit=1)[0].decode()
    # call, image: its contents twice; then the stencil: before, after
    start = 0
    for _ in range(2):
        start = contents.index(b"array f32 ", start)
        end = contents.index(b"\n", start)
        size = int(contents[start:end].split()[2])
        start = end + 1 + 2 * size
    after = slice(end + 1 + size, end + 1 + 2 * size)
    values = torch.frombuffer(contents, dtype=torch.uint8)[after].clone().view(torch.float32)
    values[values.abs().argmax()] *= 1.001
    contents[after] = values.view(torch.uint8).numpy().tobytes()
    (tmp_path / "calls").write_bytes(contents)
    done = run(program, tmp_path / "calls")
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "WRONG" in line]
    assert line.startswith(f"{kernel} "), line


@pytest.mark.slow
def test_a_file_that_ends_early_is_an_error(program: Path, calls: Path, tmp_path: Path):
    (tmp_path / "calls").write_bytes(calls.read_bytes()[:100_000])
    done = run(program, tmp_path / "calls")
    assert done.returncode == 2 and "ends" in done.stderr
