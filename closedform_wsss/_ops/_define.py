"""Registers an operator with ``torch.library``: schema, kernels, path for other devices, fake kernel, gradient."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from closedform_wsss import _C, _cuda
from closedform_wsss._autocast import without_autocast
from closedform_wsss._build import cuda_in_use, num_threads
from closedform_wsss._plain import plain

NAMESPACE = "closedform_wsss"
SUFFIX = {torch.float32: "f32", torch.float64: "f64", torch.float16: "f16", torch.bfloat16: "bf16"}
# Devices whose kernels read half precision as it is.
READ_HALF = ("cuda",)
# Devices whose kernels gather from lists of pixels, where others scatter.
GATHER = ("cuda",)
# From here on the C library takes memory from the system for every tensor, and gives it back: the largest that the
# dynamic M_MMAP_THRESHOLD of glibc becomes.
LARGE_BYTES = 32 * 2**20
# Registrations live as long as this object.
_library = torch.library.Library(NAMESPACE, "DEF")


def launch(name: str, like: Tensor, *arguments: Any) -> None:
    """Run the kernel for the device and dtype of ``like``; tensors are passed by address, None as a null pointer.

    Raises:
        RuntimeError: A tensor is not contiguous: the kernel would read other values, or beyond its memory.
    """
    for a in arguments:
        if isinstance(a, Tensor) and not a.is_contiguous():
            raise RuntimeError(
                f"{NAMESPACE}.{name}: tensors must be contiguous, got strides {a.stride()} for {a.shape}"
            )
    values = [a.data_ptr() if isinstance(a, Tensor) else 0 if a is None else a for a in arguments]
    suffix = SUFFIX[like.dtype]
    if like.is_cuda:
        queue = (like.device.index, torch.cuda.current_stream(like.device).cuda_stream)
        # torch restores the caller's device without making a context on it.
        same = like.device.index == torch.cuda.current_device()
        with nullcontext() if same else torch.cuda.device(like.device):
            getattr(_C, f"{name}_cuda_{suffix}")(*values, queue)
    else:
        getattr(_C, f"{name}_{suffix}")(*values, num_threads())


def new_large(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Uninitialised memory, ``like.new_empty(shape)``, that a kernel fills: on the CPU in large pages."""
    return in_large_pages(like.new_empty(shape))


def in_large_pages(new: Tensor) -> Tensor:
    """Memory that nobody has written to; not for fake tensors."""
    if new.is_cpu and new.nbytes >= LARGE_BYTES:
        _C.advise_huge_pages(new.data_ptr(), new.nbytes)
    return new


def readable(x: Tensor) -> Tensor:
    """Maps as kernels that read half precision on some devices want them."""
    half = x.dtype in (torch.float16, torch.bfloat16) and x.device.type not in READ_HALF
    return (x.float() if half else x).contiguous()


def on_cuda(run: Any, reference: Any) -> Any:
    """``run`` on the devices that the kernels were built for, ``reference`` on older ones."""
    return lambda x, *rest: (run if _cuda.supports(x.device.index) else reference)(x, *rest)


def define(name: str, schema: str, run: Any, reference: Any, fake: Any) -> Any:
    """Define an operator: ``run`` where there are kernels, ``reference`` elsewhere."""
    _library.define(f"{name}{schema}")
    _library.impl(name, run, "CPU")
    if cuda_in_use():
        _library.impl(name, on_cuda(run, reference), "CUDA")
    _library.impl(name, reference, "CompositeExplicitAutograd")
    torch.library.register_fake(f"{NAMESPACE}::{name}", fake, lib=_library)
    return _without_forward_mode(getattr(getattr(torch.ops, NAMESPACE), name), name)


def _without_forward_mode(operator: Any, name: str) -> Any:
    """The operator, refusing dual numbers, whose tangent torch would drop without a word: a derivative of zero.

    It gets plain tensors: its kernels allocate like their arguments.
    """

    @functools.wraps(operator)
    def call(*arguments: Any) -> Any:
        if not torch.compiler.is_compiling():
            for value in arguments:
                if isinstance(value, Tensor) and forward_ad.unpack_dual(value).tangent is not None:
                    raise NotImplementedError(
                        f"{NAMESPACE}.{name}: has no forward-mode derivative (torch.func.jvp, jacfwd, hessian, dual "
                        "numbers): use reverse mode, torch.autograd.grad"
                    )
            arguments = tuple(plain(value) if isinstance(value, Tensor) else value for value in arguments)
        return operator(*arguments)

    call.default = operator.default  # type: ignore[attr-defined]
    return call


def define_gradient(name: str, backward: Callable[..., Any], setup: Callable[..., None]) -> None:
    backward = without_autocast(backward)
    torch.library.register_autograd(f"{NAMESPACE}::{name}", backward, setup_context=setup, lib=_library)
