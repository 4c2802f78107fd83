"""Whether the CUDA kernels can run here, and if not, why."""

from __future__ import annotations

import functools
import re

import torch

from closedform_wsss import _C
from closedform_wsss._warn import warn_user


def why_not_registered() -> str | None:
    """Why CUDA tensors never go to the CUDA kernels, None if they do. Looks at builds only: no device is touched."""
    if not _C.cuda:
        return f"not built: {_C.cuda_why_not}"
    if torch.version.cuda is None:
        backend = "is for ROCm" if torch.version.hip is not None else "has no CUDA"
        return f"torch {torch.__version__} {backend}"
    return None


def runs_on(capability: tuple[int, int], codes: list[str]) -> bool:
    """Whether a device of this compute capability runs one of these: ``sm_86``, ``compute_90``, ``sm_90a`` ..."""
    for code in codes:
        match = re.fullmatch(r"(sm|compute)_(\d+)(\d)([af]?)", code)
        if match is None:
            continue
        kind, own = match[1], (int(match[2]), int(match[3]))
        if match[4] == "a":  # this device and no other
            fits = own == capability
        elif kind == "sm" or match[4] == "f":  # code for a device runs on later ones of its generation
            fits = own[0] == capability[0] and own <= capability
        else:  # PTX, compiled by the driver
            fits = own <= capability
        if fits:
            return True
    return False


def release(version: int) -> str:
    """12040 -> "12.4"."""
    return f"{version // 1000}.{version % 1000 // 10}"


def why_not_on(index: int) -> str | None:
    """Why the kernels cannot run on the device of this index, None if they can.

    A runtime runs on drivers of its own major release and of later ones. Only a driver that is not older than the
    runtime compiles its PTX.
    """
    driver, runtime = _C.cuda_driver_version(), _C.cuda_runtime_version()
    if driver // 1000 < runtime // 1000:
        return (
            f"built with CUDA {release(runtime)}, which the driver is too old for: it knows CUDA {release(driver)}. "
            f"Update the driver, or build with CUDA {max(driver // 1000, 12)}"
        )
    codes = [code for code in _C.cuda_architectures if driver >= runtime or code.startswith("sm_")]
    capability = torch.cuda.get_device_capability(index)
    if runs_on(capability, codes):
        return None
    return f"built for {' '.join(codes)}, not for the device's sm_{capability[0]}{capability[1]}"


@functools.cache
def supports(index: int) -> bool:
    """Whether the kernels run on the device of this index; if not, warn once."""
    reason = why_not_on(index)
    if reason is not None:
        warn_user(
            f"closedform_wsss: the CUDA kernels are not used on device {index}: {reason}. CUDA tensors run in plain "
            "PyTorch, which is slower",
            RuntimeWarning,
        )
    return reason is None


def why_not() -> str | None:
    """Why the CUDA kernels are not used on the current device, None if they are."""
    reason = why_not_registered()
    if reason is not None:
        return reason
    if not torch.cuda.is_available():
        return "torch.cuda.is_available() is False"
    return why_not_on(torch.cuda.current_device())
