"""Whether the CUDA kernels can run here, and if not, why."""

from __future__ import annotations

import functools
import re

import torch

from closedform_wsss import _C


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


@functools.cache
def supports(index: int) -> bool:
    """Whether the kernels were built for the device of this index."""
    return runs_on(torch.cuda.get_device_capability(index), _C.cuda_architectures)


def why_not() -> str | None:
    """Why the CUDA kernels are not used on the current device, None if they are."""
    reason = why_not_registered()
    if reason is not None:
        return reason
    if not torch.cuda.is_available():
        return "torch.cuda.is_available() is False"
    if not supports(torch.cuda.current_device()):
        major, minor = torch.cuda.get_device_capability()
        return f"built for {' '.join(_C.cuda_architectures)}, not for the device's sm_{major}{minor}"
    return None
