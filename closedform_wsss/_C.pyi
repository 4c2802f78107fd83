# What Python calls by name. The kernels are called through _ops/_define.py's launch, which makes their names,
# <kernel>_f32 and the like; their parameters stand in csrc/cpu/kernels.h and csrc/cuda/kernels.h.
# tests/test_native_names.py compares this file with the compiled module.
TAPS: int
TOP_ROWS: int
LEFT_PAD: int
version: str
compiler: str
openmp: bool
cuda: bool
cuda_version: str
cuda_architectures: list[str]
cuda_why_not: str

def matting_loss_parts(height: int, width: int, /) -> int: ...
def stencil_pitch(width: int, /) -> int: ...
def levels() -> list[str]: ...
def level() -> str: ...
def set_level(name: str, /) -> None: ...
