"""What a solve is given: marks and how strongly they hold, checked."""

from __future__ import annotations

import torch
from torch import Tensor

from closedform_wsss._checks import (
    check_count,
    check_device,
    check_finite,
    check_maps,
    check_positive,
    check_target,
    cures,
    reads_values,
)
from closedform_wsss.laplacian import MattingLaplacian

WHERE = "solve_matting"


def check_problem(
    laplacian: MattingLaplacian, target: Tensor, soft: bool, num_classes: int | None, ignore_index: int
) -> tuple[Tensor, int]:
    """Check the target; return it with the number of classes."""
    n, h, w = laplacian.shape
    if num_classes is not None:
        num_classes = check_count(WHERE, "num_classes", num_classes, 1)
    if soft:
        target = check_maps(WHERE, "target", target, n, laplacian.device)
        check_finite(WHERE, "target", target)
        if num_classes not in (None, target.shape[1]):
            raise ValueError(
                f"{WHERE}: num_classes must be the {target.shape[1]} channels of a soft target, got {num_classes}"
            )
        num_classes = target.shape[1]
    else:
        target = check_target(WHERE, target, n, laplacian.device, num_classes, ignore_index)
        if num_classes is None:
            marks = target[target != ignore_index]
            num_classes = int(marks.max()) + 1 if marks.numel() else 1
            _check_no_trimap(target, num_classes)
    if tuple(target.shape[-2:]) != (h, w):
        raise ValueError(f"{WHERE}: target must have the image's size ({h}, {w}), got shape {tuple(target.shape)}")
    return target, num_classes


def _check_no_trimap(target: Tensor, num_classes: int) -> None:
    """A trimap as it is stored would make 129 classes of which 127 have no mark, 255 being unmarked."""
    if num_classes > 64 and cures.looks_like_trimap(present := torch.unique(target)[:257].tolist()):
        raise ValueError(
            f"{WHERE}: target must hold classes from 0 on, got the values {present} of a trimap: pass "
            "closedform_wsss.io.from_trimap(trimap), or num_classes if these are classes"
        )


def check_marked(target: Tensor, data_weight: Tensor, soft: bool) -> None:
    """Without one marked pixel any constant solves the system; where every pixel is marked nothing is asked for."""
    bare = (data_weight.flatten(1) > 0).any(1).logical_not().nonzero().flatten().tolist() if data_weight.numel() else []
    if bare:
        raise ValueError(
            f"{WHERE}: every image needs at least one marked pixel, got none in image {bare[0]} of the batch"
        )
    if soft:
        return
    full = (data_weight > 0).flatten(1).all(1).nonzero().flatten().tolist() if data_weight.numel() else []
    if full and target[0].numel() > 1:
        found, counts = torch.unique(target[full[0]], return_counts=True)
        labels = ", ".join(f"{v} on {k} pixels" for v, k in list(zip(found.tolist(), counts.tolist(), strict=True))[:5])
        raise ValueError(
            f"{WHERE}: every image needs unmarked pixels, which hold ignore_index, got none in image {full[0]} of the "
            f"batch, but {labels}{' ...' if len(found) > 5 else ''}: {cures.unmarked(found.tolist())}"
        )


def data_term(laplacian: MattingLaplacian, mark_weight: float | Tensor) -> Tensor:
    """lambda D as a map ``(N, H, W)``."""
    if not isinstance(mark_weight, Tensor):
        mark_weight = check_positive(WHERE, "mark_weight", mark_weight)
        return torch.full(laplacian.shape, mark_weight, dtype=laplacian.dtype, device=laplacian.device)
    if mark_weight.shape != laplacian.shape:
        raise ValueError(
            f"{WHERE}: mark_weight must be a number or (N, H, W) = {laplacian.shape}, "
            f"got shape {tuple(mark_weight.shape)}"
        )
    check_device(WHERE, "mark_weight", mark_weight, laplacian.device)
    check_finite(WHERE, "mark_weight", mark_weight)
    if reads_values(mark_weight) and not bool((mark_weight >= 0).all()):
        raise ValueError(f"{WHERE}: mark_weight must be >= 0, got {mark_weight.min().item():g}")
    return mark_weight.to(laplacian.dtype).contiguous()
