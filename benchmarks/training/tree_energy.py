"""Tree energy loss: Liang et al., CVPR 2022.

Two minimum spanning trees of the pixel grid, of colours and of the network's features, carry the predictions along
their edges. What results are soft labels of the unmarked pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, minimum_spanning_tree
from torch import Tensor


@dataclass(frozen=True)
class Forest:
    """The trees of several images; pixels are numbered over all of them.

    Attributes:
        parent: ``(P,)``, of each pixel; that of a root is the root.
        weight: ``(P,)`` in [0, 1], of the edge to the parent; that of a root has no use.
        levels: The pixels of each depth, from the roots down.
    """

    parent: Tensor
    weight: Tensor
    levels: list[Tensor]

    def filter(self, maps: Tensor) -> Tensor:
        """Sum over all pixels j of the tree of S_ij m_j, over the sum of S_ij, for maps ``(P, C)``.

        S_ij is the product of the weights on the path from i to j. One pass from the leaves to the roots adds up the
        pixels below each pixel, one back adds the others (Song et al., NeurIPS 2019).
        """
        x = torch.cat([maps, maps.new_ones(len(maps), 1)], 1)
        weight = self.weight[:, None].to(x)
        for level in reversed(self.levels[1:]):
            x.index_add_(0, self.parent[level], weight[level] * x[level])
        for level in self.levels[1:]:
            w, below = weight[level], x[level]
            x[level] = below + w * (x[self.parent[level]] - w * below)
        return x[:, :-1] / x[:, -1:]


def forest(features: Tensor, sigma: float) -> Forest:
    """Minimum spanning trees of ``(N, D, H, W)`` with the weights exp(-|f_i - f_j|^2 / sigma) of neighbours i and j."""
    n, _, h, w = features.shape
    number = torch.arange(h * w).view(h, w)
    a = torch.cat([number[:, 1:].flatten(), number[1:].flatten()])
    b = torch.cat([number[:, :-1].flatten(), number[:-1].flatten()])
    flat = features.detach().flatten(2).double().cpu()
    length = (flat[:, :, a] - flat[:, :, b]).square().sum(1)
    parents, depths = [], []
    for image in range(n):
        # A length of 0 would be no edge, and the tree depends on the order of the lengths alone.
        order = length[image].argsort(stable=True).argsort().numpy() + 1.0
        tree = minimum_spanning_tree(coo_matrix((order, (a.numpy(), b.numpy())), shape=(h * w, h * w)))
        root = (h // 2) * w + w // 2  # in the middle, so that there are few levels
        visited, parent = breadth_first_order(tree, root, directed=False)
        parent[root] = root
        depth = np.zeros(h * w, dtype=np.int64)
        for pixel in visited[1:]:
            depth[pixel] = depth[parent[pixel]] + 1
        parents.append(torch.from_numpy(parent.astype(np.int64)) + image * h * w)
        depths.append(torch.from_numpy(depth))
    parent, depth = torch.cat(parents), torch.cat(depths)
    f = flat.mT.flatten(0, 1)
    weight = torch.exp(-(f - f[parent]).square().sum(1) / sigma)
    levels = depth.argsort(stable=True).split(torch.bincount(depth).tolist())
    device = features.device
    return Forest(parent.to(device), weight.to(device), [level.to(device) for level in levels])


def tree_energy(
    p: Tensor, image: Tensor, features: Tensor, marked: Tensor, *, sigma: float = 0.02, std: float = 0.225
) -> Tensor:
    """Mean of |p - q| over the unmarked pixels, with q = the tree of features applied to that of colours applied to p.

    Colours are divided by ``std``, as the networks of the paper get them. q is a label, a constant.

    Args:
        p: ``(N, C, H, W)`` probabilities; averaged over squares to the size of the features.
        image: ``(N, 3, H, W)`` in [0, 1].
        features: ``(N, D, h, w)``, of the network before its classifier.
        marked: ``(N, H, W)`` bool.
        sigma: Of the tree of colours; that of features has 1.
    """
    size = features.shape[2:]
    p, image = (F.interpolate(x, size, mode="area") for x in (p, image))
    free = F.adaptive_max_pool2d(marked[:, None].to(p), size) == 0
    q = p.detach().movedim(1, 3).flatten(0, 2)
    for tree in (forest(image / std, sigma), forest(features, 1.0)):
        q = tree.filter(q)
    q = q.unflatten(0, (len(p), *size)).movedim(3, 1)
    return ((p - q).abs().sum(1, keepdim=True) * free).sum() / free.sum().clamp_min(1)
