"""Stand-ins for the CUDA libraries that a CUDA build of torch is linked with.

Such a torch cannot even be imported without them, and they are gigabytes; on a machine with no GPU nothing of them is
used. These have the names and functions that torch asks for, and answer each call with "the driver is too old".
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

_OURS = re.compile(r"lib(cu|nccl|nv)\w*\.so")
_FUNCTIONS = re.compile(r"(__cuda|cu|nvrtc|nv|p?nccl)\w+")
_SOURCE = {
    # What a static initialiser of torch gets when it hands its kernels over; the handle is never looked into.
    "__cudaRegisterFatBinary": "void** {}(void) {{ static void* handle[8]; return handle; }}",
    "__cuda": "int {}(void) {{ return 0; }}",
    "": "int {}(void) {{ return 35; }}",  # cudaErrorInsufficientDriver
}


def make(libraries: Path, folder: Path) -> bool:
    """Stand-ins for what the shared objects in ``libraries`` (``torch/lib``) need, made in ``folder``, which goes into
    ``LD_LIBRARY_PATH``. False where they need none."""
    needed: set[str] = set()
    wanted: set[str] = set()
    for file in libraries.glob("*.so*"):
        dynamic = _run("readelf", "-dW", str(file))
        needed |= {n for n in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic) if _OURS.match(n)}
        symbols = (
            line.split()[-1].split("@")[0] for line in _run("nm", "-D", "--undefined-only", str(file)).splitlines()
        )
        wanted |= {name for name in symbols if _FUNCTIONS.fullmatch(name)}
    if not needed:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    all_functions = folder / "functions.c"
    all_functions.write_text("\n".join(_definition(name) for name in sorted(wanted)))
    empty = folder / "empty.c"
    empty.touch()
    options = ["-shared", "-fPIC", "-Wno-builtin-declaration-mismatch"]
    _run("cc", *options, str(all_functions), "-o", str(folder / "liball.so"), "-Wl,-soname,liball.so")
    for name in needed:
        link = ["-Wl,--no-as-needed", f"-L{folder}", "-l:liball.so", "-Wl,-rpath,$ORIGIN", f"-Wl,-soname,{name}"]
        _run("cc", *options, str(empty), "-o", str(folder / name), *link)
    return True


def _definition(name: str) -> str:
    return next(text for start, text in _SOURCE.items() if name.startswith(start)).format(name)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
