"""Count the machine instructions of CUDA kernels, without a GPU.

    python tools/sass_instructions.py matting_product matting_loss --arch sm_90

For each kernel of csrc/cuda/NAME.cu: instructions that a thread executes once, those of the longest loop (over the
classes), and registers. nvcc, cuobjdump and nvdisasm must be on PATH (the packages nvidia-cuda-cuobjdump and
nvidia-cuda-nvdisasm have the last two).
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def count(name: str, arch: str, folder: Path) -> list[str]:
    """Rows of the table for one source file."""
    cubin = folder / f"{name}.cubin"
    source = ROOT / "csrc" / "cuda" / f"{name}.cu"
    log = run(
        "nvcc",
        "-std=c++17",
        "-O3",
        f"-arch={arch}",
        "-cubin",
        f"-I{ROOT / 'csrc'}",
        "-Xptxas",
        "-v",
        source,
        "-o",
        cubin,
    )
    registers = dict(re.findall(r"Compiling entry function '(\w+)'.*?Used (\d+) registers", log, re.S))
    rows = []
    for part in run("cuobjdump", "-sass", cubin).split("Function : ")[1:]:
        kernel = part.split()[0]
        code = re.findall(r"^\s+/\*([0-9a-f]{4,5})\*/\s+([^;]*);", part, re.M)
        addresses = [int(address, 16) for address, _ in code]
        jumps = [
            (address, re.search(r"BRA.* 0x([0-9a-f]+)", text))
            for address, (_, text) in zip(addresses, code, strict=True)
        ]
        loops = [(int(to[1], 16), at) for at, to in jumps if to and int(to[1], 16) < at]
        first, last = max(loops, key=lambda loop: loop[1] - loop[0], default=(1, 0))
        inside = sum(first <= address <= last for address in addresses)
        readable = run("c++filt", kernel).strip().split("(anonymous namespace)::")[-1].split("(")[0]
        rows.append(f"| {readable} | {len(code) - inside} | {inside} | {registers[kernel]} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--arch", default="sm_90")
    args = parser.parse_args()
    print(f"{args.arch}, {re.search(r'release [0-9.]+', run('nvcc', '--version'))[0]}\n")
    print("| kernel | instructions outside of the loop | in the loop | registers |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for name in args.names:
            print(*count(name, args.arch, Path(folder)), sep="\n")


if __name__ == "__main__":
    main()
