"""What one of two processes does, by gloo: a training step on its half of a batch, or counting its images."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from closedform_wsss.metrics import ConfusionMatrix
from closedform_wsss.nn import ClosedFormLoss, SuperpixelConsistencyLoss

FSDP = "fully_shard"
DDP = "DistributedDataParallel"


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))


def loss_of(net: nn.Module, image: Tensor, marks: Tensor, labels: Tensor) -> Tensor:
    """Superpixels are columns. All images have the same labels, so what weights a half has is half of the batch's."""
    logits = net(image)
    superpixels = torch.arange(image.shape[-1]).expand(labels.shape)
    return ClosedFormLoss(eps=1e-4)(logits, marks, image) + SuperpixelConsistencyLoss(weighting="majority")(
        logits, labels, superpixels
    )


def gradients(net: nn.Module) -> list[Tensor]:
    full = (p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad for p in net.parameters())
    return [g.clone() for g in full]


def step(rank: int, kind: str, folder: str, batch: tuple[Tensor, ...]) -> None:
    """Rank 0 leaves the gradients of the whole batch in ``folder``."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/{kind}", rank=rank, world_size=2)
    try:
        found = gradients_of_step(kind, [part.chunk(2)[rank] for part in batch])
        if rank == 0:
            torch.save(found, Path(folder) / f"{kind}.pt")
        leave()
    finally:
        dist.destroy_process_group()


def gradients_of_step(kind: str, half: list[Tensor]) -> list[Tensor]:
    """Of a network that is gone afterwards."""
    net: Any = network()
    if kind == DDP:
        net = nn.parallel.DistributedDataParallel(net)
    else:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        fully_shard(net, mesh=init_device_mesh("cpu", (2,)))
    loss_of(net, *half).backward()
    return gradients(net)


def count(rank: int, folder: str) -> None:
    """Leaves what each rank has after ``ConfusionMatrix.all_reduce`` in ``folder``."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/count", rank=rank, world_size=2)
    try:
        matrix = ConfusionMatrix(2)
        pred, target = ([0, 1, 1, 1], [0, 1, 1, 255]) if rank == 0 else ([0, 1, 1, 0, 1], [0, 0, 1, 255, 255])
        matrix.update(torch.tensor([[pred]]), torch.tensor([[target]]))
        found: dict[str, Any] = {}
        scores = matrix.all_reduce().compute()
        found["matrix"], found["ignored"] = matrix.matrix.tolist(), scores.ignored
        # One process without a batch.
        empty = ConfusionMatrix(2)
        if rank == 0:
            empty.update(torch.tensor([[[0, 1, 1]]]), torch.tensor([[[0, 1, 0]]]))
        found["empty"] = int(empty.all_reduce().matrix.sum())
        # As on CUDA, where an update only counts what is invalid: every process is to hear of it.
        empty._counts[-1] = rank
        found["invalid"] = error_of(lambda: empty.all_reduce().compute())
        found["other"] = error_of(lambda: ConfusionMatrix(2 + rank).all_reduce())
        torch.save(found, Path(folder) / f"counts{rank}.pt")
        leave()
    finally:
        dist.destroy_process_group()


def leave() -> None:
    """End this process without ending the interpreter.

    A thread of gloo may still free the tensors of a collective, for which it needs the interpreter. It aborts the
    process if the interpreter ends meanwhile.
    """
    dist.barrier()
    sys.stdout.flush()
    os._exit(0)


def error_of(call: Callable[[], object]) -> str:
    try:
        call()
    except ValueError as error:
        return str(error)
    return "no error"
