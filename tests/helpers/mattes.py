"""Random marks, and their alpha mattes by a dense solve."""

from __future__ import annotations

import numpy as np
import torch

from helpers.oracle import dense_laplacian


def random_marks(size: tuple[int, int], classes: int, n: int = 1, share: float = 0.15) -> torch.Tensor:
    """Marks ``(n, H, W)`` on this share of the pixels, 255 elsewhere; each class is in each image."""
    target = torch.where(torch.rand(n, *size) < share, torch.randint(classes, (n, *size)), 255)
    target[:, 0, :classes] = torch.arange(classes)
    return target


def dense_mattes(
    image: torch.Tensor,
    target: torch.Tensor,
    classes: int,
    mark_weight: float = 100.0,
    eps: float = 1e-7,
    radius: int = 1,
    kind: str = "closed_form",
) -> torch.Tensor:
    """alpha ``(C, H, W)`` of an image ``(D, H, W)`` and marks ``(H, W)`` by a dense float64 solve."""
    L = dense_laplacian(image.double().numpy(), eps, radius, kind)
    D = mark_weight * (target != 255).double().numpy().ravel()
    s = np.stack([(target == c).numpy().ravel() for c in range(classes)], 1)
    return torch.from_numpy(np.linalg.solve(L + np.diag(D), D[:, None] * s)).T.reshape(classes, *target.shape)
