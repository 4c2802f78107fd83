"""The same operator and losses as a careful user of plain PyTorch would write them.

Baselines in earnest: no Python loop over pixels or classes, int32 indices and float32 values where MKL takes
them, the operator symmetric and used as such (no transposed matrix in the backward pass).
"""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import unfold

warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)


def laplacian_csr(image: Tensor, eps: float = 1e-7) -> Tensor:
    """The matting Laplacian of image ``(3, H, W)``, 3 x 3 windows, as float64 CSR ``(HW, HW)``.

    All windows at once: unfold, batched covariance and inverse, batched 9 x 9 blocks, COO summed into CSR.
    float64 because an inverse of float32 covariances is worthless on flat windows.
    """
    d, h, w = image.shape
    size = 9
    windows = unfold(image.double()[None], 3)[0].view(d, size, -1).permute(2, 1, 0)  # (K, 9, D)
    centred = windows - windows.mean(1, keepdim=True)
    covariance = centred.transpose(1, 2) @ centred / size
    covariance += eps / size * torch.eye(d, dtype=torch.float64)
    blocks = centred @ torch.linalg.inv(covariance) @ centred.transpose(1, 2)
    blocks = torch.eye(size, dtype=torch.float64) - (1 + blocks) / size  # (K, 9, 9)

    del windows, centred, covariance  # what follows is hungry enough

    index = torch.arange(h * w).view(1, 1, h, w)
    pixels = index.unfold(2, 3, 1).unfold(3, 3, 1).reshape(-1, size)  # (K, 9)
    pairs = torch.empty(2, len(pixels), size, size, dtype=torch.long)
    pairs[0], pairs[1] = pixels[:, :, None], pixels[:, None, :]
    coo = torch.sparse_coo_tensor(pairs.view(2, -1), blocks.reshape(-1), (h * w, h * w), check_invariants=False)
    del pairs, blocks
    return coo.coalesce().to_sparse_csr()


def to_float32(csr: Tensor) -> Tensor:
    """CSR with float32 values and int32 indices: half the memory and what MKL's product is fastest with."""
    return torch.sparse_csr_tensor(
        csr.crow_indices().int(),
        csr.col_indices().int(),
        csr.values().float(),
        size=csr.shape,
        check_invariants=False,
    )


def csr_bytes(csr: Tensor) -> int:
    """Bytes that a CSR matrix keeps."""
    parts = (csr.crow_indices(), csr.col_indices(), csr.values())
    return sum(part.numel() * part.element_size() for part in parts)


def csr_product(csr: Tensor, x: Tensor) -> Tensor:
    """L x for x ``(C, H, W)`` -> ``(C, H, W)``: with the transposes, for CSR products want pixels first."""
    columns = x.flatten(1).t().contiguous()
    return (csr @ columns).t().contiguous().view_as(x)


def add_marks(csr: Tensor, target: Tensor, mark_weight: float) -> Tensor:
    """L + mark_weight D as CSR: marks ``(H, W)`` folded into the diagonal once cost a step nothing."""
    marked = (target.reshape(-1) != 255).double() * mark_weight
    pixels = torch.arange(marked.numel())
    diagonal = torch.sparse_coo_tensor(torch.stack([pixels, pixels]), marked, csr.shape, check_invariants=False)
    return (csr.to_sparse_coo() + diagonal).coalesce().to_sparse_csr()


class CSRLoss(torch.autograd.Function):
    """The closed-form loss of a batch over prebuilt A = L + mark_weight D, with a gradient of its own.

    residual: |A a - mark_weight D s|^2 / (mark_weight P), two products with A a step. energy: one product.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, matrices: list[Tensor], target: Tensor, mark_weight: float, residual: bool
    ) -> Tensor:
        """x ``(N, C, H, W)`` probabilities, target ``(N, H, W)``; the mean over images."""
        n, _, h, w = x.shape
        total = x.new_zeros(())
        gradient = torch.empty_like(x)
        for image, maps, marks, out in zip(matrices, x, target, gradient, strict=True):
            a = maps.flatten(1).t().contiguous()
            pixels = (marks.reshape(-1) != 255).nonzero().squeeze(1)
            own = marks.reshape(-1)[pixels]
            r = image @ a
            if residual:
                r[pixels, own] -= mark_weight
                total += r.square().sum() / mark_weight
                r = (image @ r).mul_(1 / mark_weight)
            else:
                total += (a * r).sum() + mark_weight * (len(pixels) - 2 * a[pixels, own].sum())
                r[pixels, own] -= mark_weight
            out.flatten(1).copy_(r.t())
        ctx.save_for_backward(gradient)
        ctx.scale = 2 / (n * h * w)
        return total / (n * h * w)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient is ready; only its scale is missing."""
        (gradient,) = ctx.saved_tensors
        return gradient * (grad * ctx.scale), None, None, None, None


def csr_autograd_loss(x: Tensor, matrices: list[Tensor], target: Tensor, mark_weight: float, residual: bool) -> Tensor:
    """The same through autograd's own sparse product: what one writes first."""
    n, _, h, w = x.shape
    losses = []
    for image, maps, marks in zip(matrices, x, target, strict=True):
        a = maps.flatten(1).t().contiguous()
        pixels = (marks.reshape(-1) != 255).nonzero().squeeze(1)
        own = marks.reshape(-1)[pixels]
        product = torch.sparse.mm(image, a)
        if residual:
            goal = torch.zeros_like(a)
            goal[pixels, own] = mark_weight
            losses.append((product - goal).square().sum() / mark_weight)
        else:
            losses.append((a * product).sum() + mark_weight * (len(pixels) - 2 * a[pixels, own].sum()))
    return torch.stack(losses).sum() / (n * h * w)
