"""The arguments of a solve, checked: marks and their weights."""

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
    hints,
    reads_values,
)
from closedform_wsss.laplacian import MattingLaplacian

FN = "solve_matting"


def check_marks(
    laplacian: MattingLaplacian, marks: Tensor, num_classes: int | None, ignore_index: int
) -> tuple[Tensor, int]:
    """Marks ``(N, H, W)`` int64 or soft values ``(N, C, H, W)``, and the number of classes."""
    n, h, w = laplacian.shape
    if num_classes is not None:
        num_classes = check_count(FN, "num_classes", num_classes, 1)
    if isinstance(marks, Tensor) and marks.is_floating_point():
        if marks.ndim == 3:
            raise ValueError(
                f"{FN}: marks must be (N, H, W) integers or soft (N, C, H, W), got {marks.dtype} of shape "
                f"{tuple(marks.shape)}: pass marks.long() if the values are classes"
            )
        marks = check_maps(FN, "marks", marks, n, laplacian.device)
        check_finite(FN, "marks", marks)
        if num_classes is not None and num_classes != marks.shape[1]:
            raise ValueError(
                f"{FN}: num_classes must be the {marks.shape[1]} channels of soft marks, got {num_classes}"
            )
        num_classes = marks.shape[1]
    else:
        marks = check_target(FN, marks, n, laplacian.device, num_classes, ignore_index, name="marks")
        if num_classes is None:
            labels = marks[marks != ignore_index]
            num_classes = int(labels.max()) + 1 if labels.numel() else 1
            _check_no_trimap(marks, num_classes)
    if tuple(marks.shape[-2:]) != (h, w):
        raise ValueError(f"{FN}: marks must have the image's size ({h}, {w}), got shape {tuple(marks.shape)}")
    return marks, num_classes


def _check_no_trimap(marks: Tensor, num_classes: int) -> None:
    """A trimap as stored in a file would make 129 classes, 127 of them without a mark, since 255 is unmarked."""
    if num_classes > 64 and hints.looks_like_trimap(present := torch.unique(marks)[:257].tolist()):
        raise ValueError(
            f"{FN}: marks must hold classes from 0 on, got the values {present} of a trimap: pass "
            "closedform_wsss.io.from_trimap(trimap), or num_classes if these are classes"
        )


def check_marked(marks: Tensor, data_weight: Tensor, unmarked: str) -> None:
    """Without a marked pixel any constant solves the system; without an unmarked one the marks are the solution."""
    if not data_weight.numel():
        return
    marked = (data_weight > 0).flatten(1)
    bare = marked.any(1).logical_not().nonzero().flatten().tolist()
    if bare and unmarked == "error":
        raise ValueError(
            f"{FN}: every image needs at least one marked pixel, got none in image {bare[0]} of the batch: "
            'unmarked="skip" leaves such images out'
        )
    full = marked.all(1).nonzero().flatten().tolist()
    if full and not marks.is_floating_point() and marks[0].numel() > 1:
        found, counts = torch.unique(marks[full[0]], return_counts=True)
        labels = ", ".join(f"{v} on {k} pixels" for v, k in list(zip(found.tolist(), counts.tolist(), strict=True))[:5])
        raise ValueError(
            f"{FN}: every image needs unmarked pixels, which hold ignore_index, got none in image {full[0]} of the "
            f"batch, but {labels}{' ...' if len(found) > 5 else ''}: {hints.unmarked(found.tolist(), 'marks')}"
        )


def data_term(laplacian: MattingLaplacian, mark_weight: float | Tensor) -> Tensor:
    """lambda D as a map ``(N, H, W)``."""
    if not isinstance(mark_weight, Tensor):
        mark_weight = check_positive(FN, "mark_weight", mark_weight)
        return torch.full(laplacian.shape, mark_weight, dtype=laplacian.dtype, device=laplacian.device)
    if mark_weight.shape != laplacian.shape:
        raise ValueError(
            f"{FN}: mark_weight must be a number or (N, H, W) = {laplacian.shape}, got shape {tuple(mark_weight.shape)}"
        )
    check_device(FN, "mark_weight", mark_weight, laplacian.device)
    check_finite(FN, "mark_weight", mark_weight)
    if reads_values(mark_weight) and not bool((mark_weight >= 0).all()):
        raise ValueError(f"{FN}: mark_weight must be >= 0, got {mark_weight.min().item():g}")
    return mark_weight.to(laplacian.dtype).contiguous()


def check_initial(laplacian: MattingLaplacian, initial: Tensor, num_classes: int) -> Tensor:
    """A start ``(N, C, H, W)`` in the dtype of the solve."""
    n, h, w = laplacian.shape
    initial = check_maps(FN, "initial", initial, n, laplacian.device)
    if initial.shape != (n, num_classes, h, w):
        raise ValueError(
            f"{FN}: initial must be (N, C, H, W) = {(n, num_classes, h, w)}, got shape {tuple(initial.shape)}"
        )
    check_finite(FN, "initial", initial)
    return initial.to(laplacian.dtype)
