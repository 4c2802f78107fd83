"""``closedform-wsss info``: versions, build options, threads and the GPU, and what to do if it is slow."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

import closedform_wsss
from closedform_wsss._build import cuda_in_use


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Prints the table and returns the exit status."""
    facts = _facts()
    if args.json:
        print(json.dumps(facts, indent=2))
        return 0
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {_text(value)}")
    print("", *_advice(facts), sep="\n")
    return 0


def _facts() -> dict[str, object]:
    return {
        **closedform_wsss.build_info(),
        "installed": _installed(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "torch_threads": torch.get_num_threads(),
        "cuda_device": _device(),
    }


def _installed() -> str:
    """Where the package is from: a wheel of an index or of a file, or a folder of the source."""
    try:
        record = importlib.metadata.distribution("closedform-wsss").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return "not installed: imported from its source"
    origin = {} if record is None else json.loads(record)
    if origin.get("dir_info", {}).get("editable"):
        return "source, editable"
    return "source" if "dir_info" in origin or "vcs_info" in origin else "wheel"


def _advice(facts: Mapping[str, Any]) -> list[str]:
    """What makes the package slow here, a line each, and how to check its kernels."""
    found = []
    if facts["simd"] == "baseline" and len(facts["simd_available"]) > 1:
        found.append("slow: the kernels use no AVX2, because this processor has none or CFW_SIMD says so")
    if not facts["openmp"]:
        found.append("slow: built without OpenMP, so the CPU kernels use one thread")
    elif facts["threads"] < facts["cores"]:
        found.append(
            f"slow: {facts['threads']} of {facts['cores']} cores are used: OMP_NUM_THREADS or torch.set_num_threads"
        )
    elif facts["threads"] > facts["cores"]:
        found.append(f"slow: {facts['threads']} threads on {facts['cores']} cores wait for each other")
    if facts["cuda_device"] != "none" and not cuda_in_use():
        found.append(
            f"slow on the GPU: CUDA kernels are {facts['cuda_kernels']}; there plain PyTorch is used. Build them with "
            "nvcc: the page Installation of the documentation"
        )
    found.append("check: python -m closedform_wsss.selftest compares every kernel with its reference")
    return found


def _device() -> str:
    """The GPU that torch uses."""
    if not torch.cuda.is_available():
        return "none"
    major, minor = torch.cuda.get_device_capability()
    return f"{torch.cuda.get_device_name()} (sm_{major}{minor})"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return str(value)
