"""What limits the kernels on this machine: vector instructions of the product, and page faults of large results.

    python benchmarks kernels.limit

Linux on x86-64 with AVX-512; needs g++ and objdump. Counts the vector instructions in the product's inner loop for four
classes (from the compiled module), measures how fast this CPU executes such a mixture, and so what the loop takes at
least. Then counts the page faults, and the time in the system, of results in new memory.

Writes results/limit.json and .md.
"""

from __future__ import annotations

import argparse
import re
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from common.harness import describe_machine, table, write_json, write_markdown
from common.inputs import photo
from torch import Tensor

from closedform_wsss import _C, MattingLaplacian, _ops
from closedform_wsss.functional import closed_form_loss, soft_slic

LANES = 16  # floats of a vector
# Registers: 1 and 2 are inputs, the others results, so that no instruction waits for another.
INSTRUCTIONS = {
    "subtraction": "vsubps %%zmm1, %%zmm2, %%zmm{}",
    "multiply-add": "vfmadd231ps %%zmm1, %%zmm2, %%zmm{}",
    "shift": "valignd $1, %%zmm1, %%zmm2, %%zmm{}",
}
NAMES = {"vsubps": "subtraction", "vaddps": "subtraction", "valignd": "shift"}
BLOCK = 24
PROGRAM = """#include <chrono>
#include <cstdio>
int main() {{
  double best = 1e9;
  for (int r = 0; r < 15; ++r) {{
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 200000; ++i) asm volatile({lines} ::: {clobbered});
    const double s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = s < best ? s : best;
  }}
  std::printf("%.6f", best / 200000 / {count} * 1e9);
}}
"""


def throughput(names: list[str]) -> float:
    """Nanoseconds an instruction of an endless mixture."""
    lines = "".join(f'"{INSTRUCTIONS[name].format(8 + k % BLOCK)}\\n"' for k, name in enumerate(names))
    clobbered = ", ".join(f'"xmm{k}"' for k in range(32))
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "loop.cpp"
        source.write_text(PROGRAM.format(lines=lines, clobbered=clobbered, count=len(names)))
        subprocess.run(["g++", "-O2", "-mavx512f", source, "-o", source.with_suffix("")], check=True)
        return float(subprocess.run([source.with_suffix("")], check=True, capture_output=True, text=True).stdout)


def loops() -> Iterator[Counter[str]]:
    """Instructions of every inner loop of the module: from a target of a jump back to the jump, at most 1000."""
    command = ["objdump", "-d", "--no-show-raw-insn", "--section=.text", _C.__file__]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = [m.groups() for m in re.finditer(r"^\s*([0-9a-f]+):\t(\S+)\s*(\S*)", text, re.M)]
    at = {address: k for k, (address, _, _) in enumerate(found)}
    for k, (_, name, target) in enumerate(found):
        if name.startswith("j") and k - 1000 < at.get(target, k) < k:
            yield Counter(name for _, name, _ in found[at[target] : k])


def inner_loop() -> dict[str, int]:
    """Vector instructions of the shortest loop with the shifts of four classes, 4 x 20: the product of floats."""
    candidates = [loop for loop in loops() if loop["valignd"] == 80]
    loop = min(candidates, key=lambda counts: counts.total())
    kinds = Counter[str]()
    for name, count in loop.items():
        kind = "multiply-add" if name.startswith("vfmadd") else NAMES.get(name)
        if kind:
            kinds[kind] += count
    return {**kinds, "all instructions": loop.total()}


def product_times() -> dict[str, float]:
    """Nanoseconds a pixel and class of the product, one thread: maps that fit into the first cache, and larger ones."""
    times = {}
    for classes, height, width in ((4, 64, 128), (4, 321, 321), (21, 321, 321)):
        laplacian, x = MattingLaplacian(photo(height, width, 1)), torch.rand(1, classes, height, width)
        samples = []
        for _ in range(200 if height < 100 else 30):
            started = time.perf_counter()
            _ops.matting_product(laplacian._operator.stencil, x, None)
            samples.append(time.perf_counter() - started)
        times[f"{classes} x {height} x {width}"] = min(samples) / x.numel() * 1e9
    return times


def faults(run: Callable[[], Tensor]) -> tuple[float, float, int]:
    """Medians of milliseconds, of those in the system, and of page faults."""
    samples = []
    for _ in range(7):
        before, started = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        result = run()
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
        del result
        samples.append((1e3 * seconds, 1e3 * (after.ru_stime - before.ru_stime), after.ru_minflt - before.ru_minflt))
    milliseconds, system, count = (statistics.median(values) for values in zip(*samples, strict=True))
    return milliseconds, system, int(count)


def in_new_memory() -> dict[str, tuple[float, float, int]]:
    x = torch.rand(8, 21, 512, 512)
    q = soft_slic(torch.rand(8, 3, 512, 512), cell_size=16).assignment
    s = _ops.superpixel_pool(x, q, 16)
    logits = torch.randn(8, 21, 321, 321, requires_grad=True)
    image, target = photo(321, 321, 8), torch.full((8, 321, 321), 255)
    kept = torch.empty_like(x)

    def loss() -> Tensor:
        (gradient,) = torch.autograd.grad(closed_form_loss(logits, target, image, scale=1), logits)
        return gradient

    return {
        "copy into the same memory, 8 x 21 x 512 x 512": faults(lambda: kept.copy_(x)),
        "copy into new memory, 8 x 21 x 512 x 512": faults(x.clone),
        "superpixel_pool, 8 x 21 x 512 x 512": faults(lambda: _ops.superpixel_pool(x, q, 16)),
        "superpixel_unpool, 8 x 21 x 512 x 512": faults(lambda: _ops.superpixel_unpool(s, q, 16)),
        "closed_form_loss and gradient, 8 x 21 x 321 x 321": faults(loss),
    }


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    missing = [tool for tool in ("g++", "objdump") if not shutil.which(tool)]
    if "avx512" not in _C.levels() or missing:
        raise SystemExit(f"benchmarks kernels.limit: needs {' and '.join(missing) or 'a CPU with AVX-512'}")
    torch.set_num_threads(1)
    machine = describe_machine()
    loop = inner_loop()
    mixture = [name for name in INSTRUCTIONS for _ in range(round(loop[name] / 4))]
    mixture = [mixture[k * 37 % len(mixture)] for k in range(len(mixture))]  # mixed
    single = {name: throughput([name] * BLOCK) for name in INSTRUCTIONS}
    together = throughput(mixture)
    vectors = sum(loop[name] for name in INSTRUCTIONS)
    floor = vectors * together / (4 * LANES)
    times, memory = product_times(), in_new_memory()
    counts = ", ".join(f"{loop[name]} {name}s" for name in INSTRUCTIONS)
    body = (
        f"**Product.** The inner loop for four classes makes {4 * LANES} values. It has {counts} (additions "
        f"count as subtractions), and {loop['all instructions']} instructions in all. This CPU needs "
        + ", ".join(f"{ns:.2f} ns a {name}" for name, ns in single.items())
        + f", each alone, and {together:.3f} ns an instruction of the loop's mixture: at least {floor:.2f} ns a pixel "
        "and class.\n\n"
        + table(["product, one thread", "ns a pixel and class"], [[case, f"{ns:.2f}"] for case, ns in times.items()])
        + "\n\n**New memory.** Medians of seven runs, one thread; the time in the system is that of page faults.\n\n"
        + table(
            ["call", "ms", "of it in the system", "page faults"],
            [[name, f"{ms:.1f}", f"{system:.1f}", str(count)] for name, (ms, system, count) in memory.items()],
        )
    )
    write_json("limit", {"machine": machine, "loop": loop, "single": single, "mixture": together, "memory": memory})
    write_markdown("limit", "What limits the kernels", "python benchmarks kernels.limit", machine, body)
