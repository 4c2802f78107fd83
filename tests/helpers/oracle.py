"""Independent oracles: slow, dense, float64, straight from the definitions, sharing no code with the library."""

from __future__ import annotations

import numpy as np


def dense_laplacian(image: np.ndarray, eps: float = 1e-7, radius: int = 1, kind: str = "closed_form") -> np.ndarray:
    """A matting Laplacian (HW, HW) of an image (D, H, W), window by window.

    With Q the top n rows of the Q of a QR factorisation of [X; sqrt(eps) Id], the block of a window is
    I - 11^T/n - Q Q^T with X the centred colours for the closed form, (I - Q Q^T)^2 with X = [colours 1] for the
    learning-based one: no covariance is formed or inverted, so no digits are lost.
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
            learning = kind == "learning_based"
            columns = np.hstack([colours, np.ones((n, 1))]) if learning else colours - colours.mean(0)
            q = np.linalg.qr(np.vstack([columns, np.sqrt(eps) * np.eye(columns.shape[1])]))[0][:n]
            left = np.eye(n) - q @ q.T
            L[np.ix_(pixels, pixels)] += left @ left if learning else left - 1 / n
    return L


def closed_form_loss(
    a: np.ndarray,
    target: np.ndarray,
    image: np.ndarray,
    *,
    form: str,
    mark_weight: float = 100.0,
    eps: float = 1e-7,
    radius: int = 1,
    kind: str = "closed_form",
    weight: np.ndarray | None = None,
    ignore_index: int = 255,
) -> np.ndarray:
    """Loss (N,) of probabilities a (N, C, H, W), class by class on the dense matrix; weight (N, C)."""
    losses = []
    for n in range(len(a)):
        L = dense_laplacian(image[n], eps, radius, kind)
        marked = (target[n] != ignore_index).ravel()
        D = np.diag(marked.astype(np.float64))
        total = 0.0
        for c in range(a.shape[1]):
            ac, sc = a[n, c].ravel(), (target[n] == c).ravel().astype(np.float64)
            w = 1.0 if weight is None else weight[n, c]
            if form == "residual":
                r = (L + mark_weight * D) @ ac - mark_weight * D @ sc
                total += w * (r @ r) / mark_weight
            else:
                total += w * (ac @ L @ ac + mark_weight * (ac - sc) @ D @ (ac - sc))
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


def neighbours(y: int, x: int, cell_size: int, grid: tuple[int, int]) -> list[tuple[int, int, int]]:
    """(k, row, column) of the superpixels around pixel (y, x) that exist."""
    cells = []
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            row, column = y // cell_size + dy, x // cell_size + dx
            if 0 <= row < grid[0] and 0 <= column < grid[1]:
                cells.append((3 * (dy + 1) + dx + 1, row, column))
    return cells


def _walk(height: int, width: int, cell_size: int):
    """Every (y, x, k, row, column) of an image."""
    grid = (int(np.ceil(height / cell_size)), int(np.ceil(width / cell_size)))
    for y in range(height):
        for x in range(width):
            for k, row, column in neighbours(y, x, cell_size, grid):
                yield y, x, k, row, column


def _cells(height: int, width: int, cell_size: int, *leading: int) -> np.ndarray:
    return np.zeros((*leading, int(np.ceil(height / cell_size)), int(np.ceil(width / cell_size))))


def superpixel_sums(x: np.ndarray, q: np.ndarray, cell_size: int) -> np.ndarray:
    """x (C, H, W), q (9, H, W) -> sums (C, h, w), pixel by pixel."""
    s = _cells(*q.shape[1:], cell_size, len(x))
    for y, column_, k, row, column in _walk(*q.shape[1:], cell_size):
        s[:, row, column] += q[k, y, column_] * x[:, y, column_]
    return s


def superpixel_spread(s: np.ndarray, q: np.ndarray, cell_size: int) -> np.ndarray:
    """s (C, h, w), q (9, H, W) -> x (C, H, W)."""
    x = np.zeros((len(s), *q.shape[1:]))
    for y, column_, k, row, column in _walk(*q.shape[1:], cell_size):
        x[:, y, column_] += q[k, y, column_] * s[:, row, column]
    return x


def superpixel_products(x: np.ndarray, s: np.ndarray, cell_size: int) -> np.ndarray:
    """x (C, H, W), s (C, h, w) -> inner products (9, H, W)."""
    d = np.zeros((9, *x.shape[1:]))
    for y, column_, k, row, column in _walk(*x.shape[1:], cell_size):
        d[k, y, column_] = x[:, y, column_] @ s[:, row, column]
    return d


def soft_assignment(features: np.ndarray, centers: np.ndarray, cell_size: int) -> np.ndarray:
    """features (F, H, W), centers (F, h, w) -> q (9, H, W)."""
    q = np.zeros((9, *features.shape[1:]))
    for y, column_, k, row, column in _walk(*features.shape[1:], cell_size):
        q[k, y, column_] = np.exp(-((features[:, y, column_] - centers[:, row, column]) ** 2).sum())
    return q / q.sum(0)


def shared_pixels(q: np.ndarray, cell_size: int) -> np.ndarray:
    """B (25, h, w): how much superpixels share their pixels with the 5 x 5 around them."""
    shared = _cells(*q.shape[1:], cell_size, 25)
    grid = shared.shape[1:]
    for y, x, a, row, column in _walk(*q.shape[1:], cell_size):
        for b, other_row, other_column in neighbours(y, x, cell_size, grid):
            k = 5 * (other_row - row + 2) + other_column - column + 2
            shared[k, row, column] += q[a, y, x] * q[b, y, x]
    return shared


def asam_matrix(affinity: np.ndarray) -> np.ndarray:
    """The dense matrix (h w, h w) of an affinity (25, h, w)."""
    _, h, w = affinity.shape
    A = np.zeros((h * w, h * w))
    for row in range(h):
        for column in range(w):
            for k in range(25):
                y, x = row + k // 5 - 2, column + k % 5 - 2
                if 0 <= y < h and 0 <= x < w:
                    A[row * w + column, y * w + x] = affinity[k, row, column]
    return A
