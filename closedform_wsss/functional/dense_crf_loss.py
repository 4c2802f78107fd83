"""The dense CRF as a loss: neighbours of similar colour shall have the same class."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from closedform_wsss._autocast import without_autocast
from closedform_wsss._checks import (
    check_finite,
    check_image,
    check_logits,
    check_maps,
    check_option,
    check_same_view,
    compute_dtype,
    reads_values,
)
from closedform_wsss._common.activation import maps_of
from closedform_wsss._ops._define import define
from closedform_wsss._resize import resize_image
from closedform_wsss.lattice import Lattice, check_channels, check_sigmas, image_lattice, symmetric

FN = "dense_crf_loss"


def dense_crf_loss(
    logits: Tensor,
    image: Tensor,
    *,
    position_sigma: float = 100.0,
    color_sigma: float = 15 / 255,
    activation: Literal["softmax", "sigmoid"] | None = "softmax",
    reduction: Literal["mean", "sum", "none"] = "mean",
) -> Tensor:
    r"""Dense CRF loss: a relaxation of the Potts energy between all pairs of pixels.

    With the map :math:`a_c` of class c, P pixels and the Gaussian kernel K of position u and colour I,

    .. math:: \frac{1}{P} \sum_c a_c^\top \tilde K\, (1 - a_c), \qquad \tilde K = D^{-1/2} K D^{-1/2}, \qquad
        K_{ij} = \exp\left( -\frac{\lVert u_i - u_j \rVert^2}{2 \sigma_u^2}
            - \frac{\lVert I_i - I_j \rVert^2}{2 \sigma_I^2} \right),

    with the row sums D of K. It is small where maps are 0 or 1, and change between different colours only. Add it to a
    cross-entropy on the marks. Its value depends neither on the resolution nor on the number of classes; the original
    loss has K in place of :math:`\tilde K`, and so a very small weight.

    The product with K is computed on the permutohedral lattice, an approximation that is not quite symmetric. The
    gradient is that of the computed value: it takes the product with the transpose too.

    Args:
        logits: ``(N, C, H, W)``, differentiable (twice). Half precision is computed in float32.
        image: ``(N, D, H', W')`` in [0, 1] or uint8, D <= 13; resized to the logits by antialiased bilinear
            interpolation. A constant: no gradient flows into it.
        position_sigma: :math:`\sigma_u` in pixels of the logits, >= 0.001. Default 100.
        color_sigma: :math:`\sigma_I` for colours in [0, 1], from 0.0001 to 1. Default 15 / 255.
        activation: "softmax" (default), "sigmoid" (independent classes, also a single one), or None where ``logits``
            are the maps.
        reduction: "mean" over images (default), "sum", or "none" for one value an image.

    Returns:
        A scalar, or ``(N,)`` for "none"; zero with a graph for an empty batch. float64 if the logits are, float32
        otherwise.

    Raises:
        TypeError: A wrong dtype.
        ValueError: A shape or device does not fit; the image is not in [0, 1]; there is one channel only, with an
            activation of softmax; logits hold NaN or infinity; an option is out of range.

    Reference:
        Tang, Perazzi, Djelouah, Ben Ayed, Schroers, Boykov: On regularized losses for weakly-supervised CNN
        segmentation. ECCV 2018. -- Adams, Baek, Davis: Fast high-dimensional filtering using the permutohedral lattice.
        Computer Graphics Forum 2010.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import dense_crf_loss
        >>> logits = torch.zeros(2, 5, 32, 32, requires_grad=True)
        >>> loss = dense_crf_loss(logits, torch.rand(2, 3, 32, 32))
        >>> loss.backward()
    """
    check_options(FN, position_sigma, color_sigma, activation, reduction)
    image = check_image(FN, image)
    check_channels(FN, image)
    logits = check_maps(FN, "logits", logits, image.shape[0], image.device)
    if activation == "softmax":
        check_logits(FN, logits)
    check_same_view(FN, logits=logits, image=image)
    dtype = compute_dtype(logits)
    x = maps_of(logits, activation, dtype)
    if logits.numel() == 0:
        return x.sum((1, 2, 3)) if reduction == "none" else x.sum()
    image = resize_image(image.to(dtype), (logits.shape[2], logits.shape[3]))
    loss = loss_of_maps(x, image, float(position_sigma), float(color_sigma))
    if reads_values(loss) and not bool(torch.isfinite(loss).all()):
        check_finite(FN, "logits", logits)
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def check_options(fn: str, position_sigma: Any, color_sigma: Any, activation: Any, reduction: Any) -> None:
    check_sigmas(fn, {"position_sigma": position_sigma}, {"color_sigma": color_sigma})
    check_option(fn, "activation", activation, ("softmax", "sigmoid", None))
    check_option(fn, "reduction", reduction, ("mean", "sum", "none"))


def loss_of_maps(x: Tensor, image: Tensor, position_sigma: float, color_sigma: float) -> Tensor:
    """The loss of each image, ``(N,)``, of maps ``(N, C, H, W)`` and an image of their size and dtype."""
    product = _smoothed(1 - x, image, position_sigma, color_sigma)
    return (x * product).sum((1, 2, 3)) / (x.shape[2] * x.shape[3])


def _smoothed(x: Tensor, image: Tensor, position_sigma: float, color_sigma: float) -> Tensor:
    """The normalised kernel times each map of x ``(N, C, H, W)``."""
    lattice = None
    if not torch.compiler.is_compiling():
        lattice = symmetric(image_lattice(image, position_sigma, color_sigma))
    y: Tensor = _Product.apply(x, image, position_sigma, color_sigma, False, lattice)
    return y


@without_autocast
def _filtered(x: Tensor, lattice: Lattice, transposed: bool) -> Tensor:
    y = lattice.filter(x.flatten(2).transpose(1, 2), transposed)
    return y.transpose(1, 2).unflatten(2, x.shape[2:]).contiguous()


# The product as one operator, so that torch.compile does not trace the lattice.


def _product_run(x: Tensor, image: Tensor, position_sigma: float, color_sigma: float, transposed: bool) -> Tensor:
    return _filtered(x, symmetric(image_lattice(image, position_sigma, color_sigma)), transposed)


def _product_fake(x: Tensor, *_: Any) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format)


_product = define(
    "dense_crf_product",
    "(Tensor x, Tensor image, float position_sigma, float color_sigma, bool transposed) -> Tensor",
    _product_run,
    _product_run,
    _product_fake,
)


class _Product(torch.autograd.Function):
    """x -> K x, or K^T x. The backward pass is the other one."""

    @staticmethod
    def forward(
        x: Tensor,
        image: Tensor,
        position_sigma: float,
        color_sigma: float,
        transposed: bool,
        lattice: Lattice | None,
    ) -> Tensor:
        """lattice: that of the image, None where a compiled program makes it."""
        if lattice is not None:
            return _filtered(x, lattice, transposed)
        y: Tensor = _product(x, image, position_sigma, color_sigma, transposed)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, image, *ctx.options = inputs
        ctx.save_for_backward(image)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *sigmas, transposed, lattice = ctx.options
        return _Product.apply(grad.contiguous(), *ctx.saved_tensors, *sigmas, not transposed, lattice), *([None] * 5)
