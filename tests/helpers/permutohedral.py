"""The permutohedral lattice as a dictionary from points to values: naive, in float64, one pixel after the other."""

import math

import numpy as np


def features(image, position_sigma, color_sigma):
    """Of an image ``(D, H, W)``, one row a pixel."""
    d, h, w = image.shape
    y, x = np.meshgrid(np.arange(h), np.arange(w), indexing="ij")
    position = np.stack([x, y], -1).reshape(-1, 2) / position_sigma
    return np.concatenate([position, image.reshape(d, h * w).T / color_sigma], 1).astype(np.float64)


def embedding(count):
    """``(count + 1, count)``: orthogonal columns in the plane of sum zero, so that the blur has variance 1."""
    matrix = np.zeros((count + 1, count))
    for j in range(count):
        matrix[: j + 1, j], matrix[j + 1, j] = 1, -(j + 1)
        matrix[:, j] *= (count + 1) * math.sqrt(2 / 3) / np.linalg.norm(matrix[:, j])
    return matrix


def corners(x):
    """The lattice points around a point of the plane, and its barycentric weights for them: solved, not sorted."""
    k = len(x)
    # The closest point of remainder 0, by trying: rounded, then moved by k where the sum asks for it.
    nearest = np.round(x / k) * k
    rest = x - nearest
    excess = round(float(nearest.sum()) / k)
    order = np.argsort(-rest, kind="stable")
    for i in order[len(x) - excess :] if excess > 0 else order[:-excess] if excess < 0 else []:
        nearest[i] -= k * np.sign(excess)
    order = np.argsort(-(x - nearest), kind="stable")
    points = [nearest.copy()]
    for remainder in range(1, k):  # one more in every coordinate, k less in that of the smallest residual left
        point = points[-1] + 1
        point[order[k - remainder]] -= k
        points.append(point)
    system = np.vstack([np.array(points).T, np.ones(k)])
    weights, *_ = np.linalg.lstsq(system, np.append(x, 1), rcond=None)
    return [tuple(int(v) for v in np.round(p)) for p in points], weights


def naive_filter(values, feature, backwards=False):
    """W values, ``(P, C)``."""
    count = feature.shape[1]
    around = [corners(x) for x in feature @ embedding(count).T]
    points: dict[tuple[int, ...], np.ndarray] = {}
    for value, (keys, weights) in zip(values, around, strict=True):
        for key, weight in zip(keys, weights, strict=True):
            points[key] = points.get(key, 0) + weight * value
    axes = range(count + 1)
    for axis in axes[::-1] if backwards else axes:
        step = np.ones(count + 1, int)
        step[axis] = -count
        zero = np.zeros(values.shape[1])
        points = {
            key: value / 2
            + (points.get(tuple(np.add(key, step)), zero) + points.get(tuple(np.subtract(key, step)), zero)) / 4
            for key, value in points.items()
        }
    return np.array([sum(w * points[key] for key, w in zip(keys, weights, strict=True)) for keys, weights in around])


def gaussian(feature):
    """The dense kernel ``(P, P)`` that the lattice approximates."""
    distance = ((feature[:, None] - feature[None]) ** 2).sum(-1)
    return np.exp(-distance / 2)


def normalised(kernel):
    root = np.sqrt(kernel.sum(1))
    return kernel / root[:, None] / root[None]
