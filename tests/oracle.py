"""Independent oracles: slow, dense, float64, straight from the definitions, sharing no code with the library."""

from __future__ import annotations

import numpy as np


def dense_laplacian(image: np.ndarray, eps: float = 1e-7, radius: int = 1) -> np.ndarray:
    """The matting Laplacian (HW, HW) of an image (D, H, W), window by window.

    The block of a window is I - 11^T/n - Q Q^T, with Q the top n rows of the Q of a QR factorisation of
    [Z; sqrt(eps) Id], Z the centred colours: no covariance is formed or inverted, so no digits are lost.
    """
    d, height, width = image.shape
    h, w = min(2 * radius + 1, height), min(2 * radius + 1, width)
    n = h * w
    L = np.zeros((height * width, height * width))
    index = np.arange(height * width).reshape(height, width)
    for y in range(height - h + 1):
        for x in range(width - w + 1):
            pixels = index[y : y + h, x : x + w].ravel()
            colours = image[:, y : y + h, x : x + w].reshape(d, n).T.astype(np.float64)
            z = colours - colours.mean(0)
            q = np.linalg.qr(np.vstack([z, np.sqrt(eps) * np.eye(d)]))[0][:n]
            L[np.ix_(pixels, pixels)] += np.eye(n) - 1 / n - q @ q.T
    return L


def closed_form_loss(
    a: np.ndarray,
    target: np.ndarray,
    image: np.ndarray,
    *,
    form: str,
    confidence: float = 100.0,
    eps: float = 1e-7,
    radius: int = 1,
    weight: np.ndarray | None = None,
    ignore_index: int = 255,
) -> np.ndarray:
    """Loss (N,) of probabilities a (N, C, H, W), class by class on the dense matrix; weight (N, C)."""
    losses = []
    for n in range(len(a)):
        L = dense_laplacian(image[n], eps, radius)
        marked = (target[n] != ignore_index).ravel()
        D = np.diag(marked.astype(np.float64))
        total = 0.0
        for c in range(a.shape[1]):
            ac, sc = a[n, c].ravel(), (target[n] == c).ravel().astype(np.float64)
            w = 1.0 if weight is None else weight[n, c]
            if form == "residual":
                r = (L + confidence * D) @ ac - confidence * D @ sc
                total += w * (r @ r) / confidence
            else:
                total += w * (ac @ L @ ac + confidence * (ac - sc) @ D @ (ac - sc))
        losses.append(total / marked.size)
    return np.array(losses)


def hard_images(size: tuple[int, int] = (9, 11)) -> dict[str, np.ndarray]:
    """Images (3, H, W) in [0, 1] on which covariances degenerate."""
    rng = np.random.default_rng(0)
    h, w = size
    photo = np.clip(np.cumsum(rng.normal(size=(3, h, w)), -1) * 0.05 + 0.5, 0, 1)
    grey = np.repeat(photo[:1], 3, 0)
    noise = np.round(rng.random((3, h, w)) * 255) / 255
    half = np.broadcast_to(np.arange(w) < w // 2, (3, h, w)).astype(np.float64)
    return {
        "photo": photo,
        "grey as RGB": grey,
        "8-bit noise": noise,
        "flat": np.full((3, h, w), 0.3),
        "black": np.zeros((3, h, w)),
        "saturated": np.clip(photo * 4 - 1, 0, 1),
        "black/white": (rng.random((1, h, w)) > 0.5).repeat(3, 0).astype(np.float64),
        "two colours": np.array([0.9, 0.2, 0.1])[:, None, None] * half + (1 - half) * 0.4,
        "half flat, half photo": photo * half,
    }
