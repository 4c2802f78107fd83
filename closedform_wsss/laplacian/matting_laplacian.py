"""The matting Laplacian as an operator."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from closedform_wsss._checks import (
    check_device,
    check_image,
    check_maps,
    check_option,
    check_radius,
    check_tensor,
)
from closedform_wsss._common.sparse_tensor import sparse_coo
from closedform_wsss.laplacian.kinds import KINDS, Kind, check_eps, laplacian_operator
from closedform_wsss.laplacian.windows import windows_per_pixel

if TYPE_CHECKING:
    import scipy.sparse


FN = "MattingLaplacian"


class MattingLaplacian:
    r"""A matting Laplacian of a batch of images, matrix-free.

    In each window of the image a ridge regression predicts x from the colours; :math:`x^\top L x` is the sum of the
    regressions' costs. For windows :math:`w_k` of :math:`|w| = (2r + 1)^2` pixels that lie wholly inside the image,
    with mean colour :math:`\mu_k` and covariance :math:`\Sigma_k`, the **closed form** (Levin et al.) is

    .. math::
        L_{ij} = \sum_{k: i, j \in w_k} \Big[ \delta_{ij} - \frac{1}{|w|} \Big(1 + (I_i - \mu_k)^\top
            \left(\Sigma_k + \tfrac{\varepsilon}{|w|} \mathrm{Id}\right)^{-1} (I_j - \mu_k)\Big) \Big].

    The **learning-based** one (Zheng & Kambhamettu) also penalises the constant of the regression, and the cost is the
    squared residuals alone. With the colours of the window and ones :math:`X_k = [I \; 1]`,

    .. math::
        L = \sum_k (\mathrm{Id} - F_k)^\top (\mathrm{Id} - F_k), \qquad
        F_k = X_k X_k^\top (X_k X_k^\top + \varepsilon\, \mathrm{Id})^{-1} .

    L is symmetric and positive semi-definite, and :math:`x^\top L x` is small where x is locally an affine function of
    the colours. The rows of the closed form sum to zero (exactly: ``L @ constant`` is 0), those of the learning-based
    one only nearly. The coefficients are computed once, in float64, and reused by every product: with
    ``radius=1`` a stencil of 12 coefficients a pixel (about 55 bytes in float32). The operator is a constant: gradients
    flow through x, never into the image.

    Args:
        image: ``(N, D, H, W)`` in [0, 1], or uint8. Any number D of channels; not mean/std-normalised. Where the image
            is smaller than a window, the window is cut to the size of the image.
        kind: ``"closed_form"`` (the default) or ``"learning_based"``.
        eps: Regularisation of the colour model, > 0, for colours in [0, 1]. Larger is smoother and less exact on fine
            structures. Default 1e-7 (Levin et al.).
        radius: r, for windows of 2 r + 1 pixels. Default 1, with fast kernels; larger ones run in PyTorch in float64.

    Raises:
        TypeError: The image is no tensor, or neither floating point nor uint8.
        ValueError: The image is not 4-dimensional, holds NaN or is not in [0, 1]; eps is not positive; the window does
            not fit the image; kind is none of the two.

    Reference:
        Levin, Lischinski, Weiss: A closed-form solution to natural image matting. TPAMI 2008.

        Zheng, Kambhamettu: Learning based digital matting. ICCV 2009.

    Example:
        >>> import torch, closedform_wsss
        >>> L = closedform_wsss.MattingLaplacian(torch.rand(2, 3, 32, 48))
        >>> (L @ torch.rand(2, 21, 32, 48)).shape
        torch.Size([2, 21, 32, 48])
        >>> (L @ torch.ones(2, 1, 32, 48)).abs().max().item()
        0.0
    """

    def __init__(self, image: Tensor, *, kind: Kind = "closed_form", eps: float = 1e-7, radius: int = 1) -> None:
        own = check_image(FN, image)
        if own.dtype == image.dtype:
            own = own.clone()  # the solver reads it later, when the caller may have written other pixels there
        check_option(FN, "kind", kind, KINDS)
        eps = check_eps(FN, eps)
        self._build(own, kind, eps, check_radius(FN, radius, *own.shape[2:]))

    @classmethod
    def of_checked(cls, image: Tensor, kind: Kind, eps: float, radius: int) -> MattingLaplacian:
        """The operator of arguments that the caller has checked."""
        self = cls.__new__(cls)
        self._build(image, kind, eps, radius)
        return self

    def _build(self, image: Tensor, kind: Kind, eps: float, radius: int) -> None:
        n, _, h, w = image.shape
        self.shape = (n, h, w)
        self.image, self.kind, self.eps, self.radius = image, kind, eps, radius
        self.dtype, self.device = image.dtype, image.device
        self._operator = laplacian_operator(image, kind, eps, radius)

    def __repr__(self) -> str:
        n, h, w = self.shape
        options = f"kind={self.kind!r}, eps={self.eps:g}, radius={self.radius}, dtype={self.dtype}"
        return f"MattingLaplacian(n={n}, height={h}, width={w}, {options})"

    def to_float64(self) -> MattingLaplacian:
        """The same operator in float64, built anew if it is not."""
        if self.dtype == torch.float64:
            return self
        return MattingLaplacian.of_checked(self.image.double(), self.kind, self.eps, self.radius)

    def check_fits(self, fn: str, name: str, x: Tensor, size: tuple[int, int] | None = None) -> torch.dtype:
        """Maps ``(N, C, H, W)`` must have the operator's size, and be no more precise; the dtype to compute in.

        ``size``: that of the maps once they are averaged. Default their own.
        """
        _, h, w = self.shape
        own = (x.shape[-2], x.shape[-1])
        if (own if size is None else size) != (h, w):
            if size in (None, own):
                raise ValueError(f"{fn}: {name} must be (N, C, {h}, {w}) like the operator, got shape {tuple(x.shape)}")
            raise ValueError(
                f"{fn}: {name} averaged at this scale have the size {size}, the operator has {(h, w)}: make it of the "
                "averaged image"
            )
        if x.dtype == torch.float64 and self.dtype != torch.float64:
            raise TypeError(
                f"{fn}: {name} is float64 but the operator was built from a {self.dtype} image: pass image.double()"
            )
        return self.dtype

    def _accept(self, x: Tensor) -> Tensor:
        x = check_maps(FN, "x", x, self.shape[0], self.device)
        self.check_fits(FN, "x", x)
        return x if self.dtype == torch.float32 else x.to(self.dtype)

    def product(self, x: Tensor, data_weight: Tensor | None = None) -> Tensor:
        """L x, or (L + D) x with a diagonal D.

        Args:
            x: ``(N, C, H, W)``, differentiable. Half precision is computed in float32.
            data_weight: ``(N, H, W)``, the diagonal D, a constant. Default none.

        Returns:
            ``(N, C, H, W)`` in the operator's dtype.

        Raises:
            TypeError: x is not floating point, or float64 while the operator is float32; data_weight is no tensor.
            ValueError: A shape or device does not fit the operator's.
        """
        x = self._accept(x)
        if data_weight is not None:
            check_tensor(FN, "data_weight", data_weight)
            check_device(FN, "data_weight", data_weight, self.device)
            if data_weight.shape != self.shape:
                raise ValueError(
                    f"{FN}: data_weight must be (N, H, W) = {self.shape}, got shape {tuple(data_weight.shape)}"
                )
            data_weight = data_weight.detach().to(self.dtype)
        return self._operator.product(x, data_weight)

    def __matmul__(self, x: Tensor) -> Tensor:
        return self.product(x)

    def quadratic_form(self, x: Tensor) -> Tensor:
        r""":math:`x_c^\top L x_c` of every image and class: x ``(N, C, H, W)`` -> ``(N, C)``, differentiable."""
        x = self._accept(x)
        return (x * self._operator.product(x)).sum((2, 3))

    def diagonal(self) -> Tensor:
        """The diagonal of L, ``(N, 1, H, W)``."""
        return self._operator.diagonal()

    def windows_per_pixel(self) -> Tensor:
        """The number of windows that contain a pixel, ``(1, 1, H, W)``: an upper bound of L.

        The block of a window, of either kind, has eigenvalues in [0, 1], so x^T L x <= sum over pixels of their number
        times x^2.
        """

        return windows_per_pixel(self.image, self.radius)

    def _entries(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rows, columns and values of image n."""
        try:
            n = operator.index(n)
        except TypeError:
            raise TypeError(f"{FN}: n must be an integer, got {type(n).__name__} {n!r}") from None
        if not 0 <= n < self.shape[0]:
            raise IndexError(f"{FN}: n must be an image in [0, {self.shape[0]}), got {n}")
        return self._operator.entries(n)

    def to_sparse_csr(self, n: int) -> Tensor:
        """L of image n as a sparse CSR tensor ``(H W, H W)``, pixels in row-major order, float64.

        For other solvers and for inspection: 25 entries and 400 bytes a pixel at radius 1, (4 r + 1)^2 entries in
        general. Training and solving never build it.
        """
        rows, columns, values = self._entries(n)
        pixels = self.shape[1] * self.shape[2]
        return sparse_coo(torch.stack([rows, columns]), values, (pixels, pixels)).to_sparse_csr()

    def to_scipy(self, n: int) -> scipy.sparse.csr_array:
        """L of image n as a ``scipy.sparse.csr_array`` ``(H W, H W)``, float64."""
        import scipy.sparse

        rows, columns, values = (part.cpu().numpy() for part in self._entries(n))
        pixels = self.shape[1] * self.shape[2]
        return scipy.sparse.coo_array((values, (rows, columns)), shape=(pixels, pixels)).tocsr()
