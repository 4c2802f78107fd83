"""How an operator is made known to torch: schema, CPU kernel, plain-PyTorch path for other devices, fake, gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from closedform_wsss import _C

NAMESPACE = "closedform_wsss"
# Registrations live as long as this object.
_library = torch.library.Library(NAMESPACE, "DEF")


def kernel(name: str, dtype: torch.dtype) -> Any:
    return getattr(_C, f"{name}_{'f64' if dtype == torch.float64 else 'f32'}")


def define(name: str, schema: str, cpu: Any, reference: Any, fake: Any) -> Any:
    _library.define(f"{name}{schema}")
    _library.impl(name, cpu, "CPU")
    _library.impl(name, reference, "CompositeExplicitAutograd")
    torch.library.register_fake(f"{NAMESPACE}::{name}", fake, lib=_library)
    return getattr(getattr(torch.ops, NAMESPACE), name)


def define_gradient(name: str, backward: Callable[..., Any], setup: Callable[..., None]) -> None:
    torch.library.register_autograd(f"{NAMESPACE}::{name}", backward, setup_context=setup, lib=_library)
