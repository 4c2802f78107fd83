"""For which GPUs a build from source compiles: cmake/cuda_architectures.cmake with an nvcc and a driver of shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import ROOT

SCRIPT = ROOT / "cmake" / "cuda_architectures.cmake"
pytestmark = [
    pytest.mark.skipif(not SCRIPT.is_file(), reason="the sources are not here"),
    pytest.mark.skipif(shutil.which("cmake") is None, reason="cmake is not here"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="its programs are shell scripts"),
]

CUDA_13 = "75 80 86 87 88 89 90 100 103 110 120 121"
CUDA_12_8 = "50 52 53 60 61 62 70 72 75 80 86 87 89 90 100 101 120"  # of the published wheels
CUDA_12 = "50 52 53 60 61 62 70 72 75 80 86 87 89 90"
PORTABLE = "compute_75 sm_80"
WHEEL = "sm_75 sm_80 sm_86 sm_89 sm_90 sm_100 sm_120 compute_120"


def program(file: Path, text: str, status: int = 0) -> None:
    file.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
    file.chmod(0o755)


def choose(folder: Path, gpus: str | None, known: str = CUDA_13, status: int = 0, **variables: str) -> str:
    """What is built for with these GPUs (None: no driver), or CMake's output where it fails."""
    program(folder / "nvcc", "\n".join(f"sm_{number}" for number in known.split()))
    if gpus is not None:
        program(folder / "nvidia-smi", gpus, status)
    script = folder / "choose.cmake"
    script.write_text(
        f'cmake_minimum_required(VERSION 3.18)\nset(CFW_CUDA_VERSION 0)\ninclude("{SCRIPT}")\n'
        f'cfw_choose_architectures("{folder}/nvcc")\n'
        'message(STATUS "<${CFW_CUDA_CODES}> ${CFW_CUDA_CHOICE}")\n'
    )
    cmake = shutil.which("cmake")
    assert cmake is not None
    # The machine's own nvidia-smi must not answer, so PATH has nothing else but what these scripts need.
    tools = folder / "tools"
    cat = shutil.which("cat")
    assert cat is not None
    if not tools.is_dir():
        tools.mkdir()
        (tools / "cat").symlink_to(cat)
    own = {k: v for k, v in os.environ.items() if k not in ("CUDAARCHS", "TORCH_CUDA_ARCH_LIST")}
    done = subprocess.run(
        [cmake, "-P", script],
        env=own | {"PATH": f"{folder}:{tools}"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    output = " ".join((done.stdout + done.stderr).split())
    return output if done.returncode else output.split("<")[1].split(">")[0] + output.partition("Warning")[1]


@pytest.mark.parametrize(
    ("gpus", "expected"),
    [
        (None, PORTABLE),
        ("8.0", "sm_80 compute_80"),
        ("9.0\n9.0\n9.0\n9.0", "sm_90 compute_90"),
        ("12.0\n7.5", "sm_75 sm_120 compute_75"),  # PTX of the lowest runs on both
        ("10.3", "sm_103 compute_103"),
        ("13.0", "compute_121"),  # newer than this nvcc
        ("13.0\n8.6", "sm_86 compute_86"),
        ("7.0", PORTABLE + "Warning"),  # older than this nvcc
        ("7.0\n8.9", "sm_89 compute_89Warning"),
        ("[N/A]", PORTABLE),
        ("No devices were found", PORTABLE),
    ],
)
def test_the_gpus_of_this_machine_or_any(tmp_path: Path, gpus: str | None, expected: str) -> None:
    assert choose(tmp_path, gpus) == expected


def test_a_driver_that_fails_counts_as_none(tmp_path: Path) -> None:
    """Its message holds numbers: NVML library version: 535.18."""
    assert choose(tmp_path, "Failed to initialize NVML\n8.0", status=9) == PORTABLE


def test_an_older_nvcc(tmp_path: Path) -> None:
    assert choose(tmp_path, None, known=CUDA_12) == "compute_70 sm_80"
    assert choose(tmp_path, "12.0", known=CUDA_12) == "compute_90"
    assert choose(tmp_path, "7.0", known=CUDA_12) == "sm_70 compute_70"
    assert choose(tmp_path, None, known=CUDA_12, CUDAARCHS="wheel") == "sm_70 sm_75 sm_80 sm_86 sm_89 sm_90 compute_90"
    assert choose(tmp_path, None, known=CUDA_12_8, CUDAARCHS="wheel") == f"sm_70 {WHEEL}"


def test_an_nvcc_without_the_oldest(tmp_path: Path) -> None:
    assert choose(tmp_path, None, known="80 90 120 130") == "compute_80 sm_80"


def test_what_is_asked_for_wins(tmp_path: Path) -> None:
    for gpus in (None, "9.0"):
        assert choose(tmp_path, gpus, CUDAARCHS="wheel") == WHEEL
        assert choose(tmp_path, gpus, CUDAARCHS="80-real;90") == "sm_80 sm_90 compute_90"
        assert choose(tmp_path, gpus, TORCH_CUDA_ARCH_LIST="7.5;12.0+PTX") == "sm_75 sm_120 compute_120"
        assert choose(tmp_path, gpus, CUDAARCHS="wheel", TORCH_CUDA_ARCH_LIST="7.5") == WHEEL
        assert choose(tmp_path, gpus, CUDAARCHS="all-major") == "sm_80 sm_90 sm_100 sm_110 sm_120 compute_120"
    assert choose(tmp_path, "9.0", CUDAARCHS="native") == "sm_90 compute_90"


def test_native_needs_a_gpu(tmp_path: Path) -> None:
    assert '"native" needs a GPU that nvidia-smi sees' in choose(tmp_path, "7.0", CUDAARCHS="native")


def test_an_unknown_architecture_is_an_error(tmp_path: Path) -> None:
    assert "does not know architecture 70" in choose(tmp_path, None, CUDAARCHS="70")
