"""Whether a backward pass may write into what its forward pass saved, instead of into new memory.

It may where nobody can read the saved values again:

* The graph is not kept: torch releases what a node saved as soon as the node has run, and a second pass is an error.
* The pass is not recorded (``create_graph``).
* No hooks saw the tensor when it was saved: they may have kept it, as gradient checkpointing does.
* The tensors are plain ones, not those of a compiler or of ``vmap``.
* No CUDA graph is being captured, which could be replayed twice.

Some of these questions have no public interface. With releases of torch that lack the private one, it may not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_keeps_graph: Any = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)
_saving_hooks: Any = getattr(torch._C._autograd, "_top_saved_tensors_default_hooks", None)
_dispatch_keys: Any = getattr(torch._C, "_dispatch_keys", None)


def saved_without_hooks() -> bool:
    """To be asked when tensors are saved."""
    try:
        return _saving_hooks is not None and _saving_hooks(True) is None
    except TypeError:  # other releases may want other arguments
        return False


def may_overwrite(*tensors: Tensor) -> bool:
    """To be asked in the backward pass, of what was saved without hooks and of what is to be combined with it."""
    if _keeps_graph is None or _dispatch_keys is None or torch.is_grad_enabled() or _keeps_graph():
        return False
    device = tensors[0].device
    plain = _dispatch_keys(torch.empty(0, device=device)).raw_repr()
    if any(type(t) is not Tensor or _dispatch_keys(t).raw_repr() != plain for t in tensors):
        return False
    return not (device.type == "cuda" and torch.cuda.is_current_stream_capturing())
