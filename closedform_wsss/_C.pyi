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

def matting_loss_parts(height: int, width: int) -> int: ...
def stencil_pitch(width: int) -> int: ...
def levels() -> list[str]: ...
def level() -> str: ...
def set_level(name: str) -> None: ...
def matting_stencil_f32(
    image: int, stencil: int, N: int, D: int, H: int, W: int, eps: float, threads: int, /
) -> None: ...
def matting_stencil_f64(
    image: int, stencil: int, N: int, D: int, H: int, W: int, eps: float, threads: int, /
) -> None: ...
def matting_product_f32(
    stencil: int, x: int, confidence: int, y: int, N: int, C: int, H: int, W: int, threads: int, /
) -> None: ...
def matting_product_f64(
    stencil: int, x: int, confidence: int, y: int, N: int, C: int, H: int, W: int, threads: int, /
) -> None: ...
def matting_loss_f32(
    stencil: int,
    x: int,
    target: int,
    weight: int,
    confidence: float,
    ignore_index: int,
    residual: bool,
    parts: int,
    loss: int,
    gradient: int,
    N: int,
    C: int,
    H: int,
    W: int,
    threads: int,
    /,
) -> None: ...
def matting_loss_f64(
    stencil: int,
    x: int,
    target: int,
    weight: int,
    confidence: float,
    ignore_index: int,
    residual: bool,
    parts: int,
    loss: int,
    gradient: int,
    N: int,
    C: int,
    H: int,
    W: int,
    threads: int,
    /,
) -> None: ...
