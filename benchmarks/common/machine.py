"""What a table of timings must say about where it was measured."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch

import closedform_wsss
from common.paths import BENCHMARKS, ROOT

PACKAGES = ("torch", "numpy", "scipy", "pymatting", "numba", "scikit-image")


def _cpu() -> str:
    """Model name and the widest vector instructions, as far as the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict([part.strip() for part in line.split(":", 1)] for line in text.splitlines() if ":" in line)
    flags = fields.get("flags", "").split()
    vector = next((name for name in ("avx512f", "avx2", "avx") if name in flags), "no AVX")
    # Hypervisors often shorten the model name; family and model number still tell the micro-architecture.
    detail = f"family {fields['cpu family']} model {fields['model']}, " if "cpu family" in fields else ""
    return f"{fields.get('model name', platform.machine())} ({detail}{vector})"


def _cache() -> str:
    """Size of the last-level cache of CPU 0: maps below it never reach memory."""
    best = ""
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            best = f"L{(folder / 'level').read_text().strip()} {(folder / 'size').read_text().strip()}"
        except OSError:
            continue
    return best or "unknown"


def commit() -> str:
    """The commit, and whether the tree holds changes that the commit does not, or the package is of other sources."""

    def git(*args: str) -> str:
        command = ["git", "-C", str(BENCHMARKS), *args]
        try:
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return ""

    head = git("rev-parse", "--short=12", "HEAD")
    if not head:
        return "none"
    changed = git("status", "--porcelain", "--", "../closedform_wsss", "../csrc", "../examples", ".", ":!results")
    text = f"{head} with local changes" if changed else head
    # Benchmarks measure the installed package, which nobody may have installed again after a change.
    other = other_sources(Path(closedform_wsss.__file__).parent, ROOT / "closedform_wsss")
    return f"{text}, the installed package has other sources" if other else text


def other_sources(installed: Path, own: Path) -> bool:
    """Whether Python files of the checkout's package are not those of the installed one."""
    names = [] if installed.resolve() == own.resolve() else [file.relative_to(own) for file in own.rglob("*.py")]
    return any(
        not (installed / name).exists() or (installed / name).read_bytes() != (own / name).read_bytes()
        for name in names
    )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"


def describe_machine() -> dict[str, Any]:
    """A JSON-ready description: hardware, software, our own build, date and commit."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu(),
        "cores": cores,
        "last_level_cache": _cache(),
        "threads": torch.get_num_threads(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "mkl": torch.backends.mkl.is_available(),
        "build": closedform_wsss.build_info(),
        "load_average_at_start": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
    }


def describe_gpu() -> dict[str, Any]:
    """The current CUDA device."""
    device = torch.cuda.get_device_properties(torch.cuda.current_device())
    command = ["nvidia-smi", "--query-gpu=driver_version,clocks.max.sm,power.limit", "--format=csv,noheader", "-i", "0"]
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        text = "unknown"
    return {
        "name": device.name,
        "capability": f"{device.major}.{device.minor}",
        "multiprocessors": device.multi_processor_count,
        "memory_bytes": device.total_memory,
        "l2_bytes": getattr(device, "L2_cache_size", 0),
        "driver": text,
        "torch_cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def machine_markdown(machine: dict[str, Any]) -> str:
    """The same as a few lines of Markdown."""
    build = machine["build"]
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    load, mkl = machine["load_average_at_start"], "with" if machine["mkl"] else "without"
    lines = [
        f"* Machine: {machine['cpu']}, {machine['cores']} cores, {machine['last_level_cache']}",
        f"* System: {machine['os']}; load average at the start {load}",
        f"* Software: Python {machine['python']}, {packages}; torch {mkl} MKL",
        f"* This package: {build['version']}, commit {machine['commit']}, {build['compiler']}, "
        f"SIMD level {build['simd']}, OpenMP {'on' if build['openmp'] else 'off'}",
        f"* Measured: {machine['date']}",
    ]
    if "gpu" in machine:
        gpu = machine["gpu"]
        lines.append(
            f"* GPU: {gpu['name']}, compute capability {gpu['capability']}, {gpu['multiprocessors']} multiprocessors, "
            f"{gpu['memory_bytes'] / 2**30:.0f} GiB, L2 {gpu['l2_bytes'] / 2**20:.0f} MiB; driver, highest clock and "
            f"power limit {gpu['driver']}; torch for CUDA {gpu['torch_cuda']}, cuDNN {gpu['cudnn']}; "
            f"kernels by CUDA {build['cuda_toolkit']} for {' '.join(build['cuda_architectures']) or 'nothing'}"
        )
    return "\n".join(lines)
