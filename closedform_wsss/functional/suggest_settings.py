"""Settings for the images at hand, with the reasons."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from closedform_wsss._checks import check_image, check_integer, check_target, check_tensor
from closedform_wsss._mark_spacing import sides_from_marks

FN = "suggest_settings"
EPS, FIDELITY = 1e-7, 0.03
# eps over the variance of a window on an edge: a step of the matte there costs 0.1 % of a step elsewhere. At 1 % mattes
# leak over edges where marks are on one side only; below 0.1 % they follow the noise.
EPS_OF_VARIANCE = 0.009
# The weaker ones among an image's edges.
EDGES = 0.9
LARGEST_EPS = 1e-2
# The median of |x| for x of the standard normal distribution.
MAD = 0.6745
SIDES = (1, 2, 4)
# So many squares between marks of different classes. The filter at its default fidelity reaches 14 pixels far where the
# image is flat. A solve at a smaller scale loses details, so it needs marks that are much farther apart.
FILTER_REACH, SOLVER_REACH = 10, 40


@dataclass(frozen=True)
class SuggestedSettings:
    """Settings of :func:`solve_matting` and :func:`refine_prediction`, and why.

    Attributes:
        eps: Of :func:`solve_matting`. :func:`refine_prediction` keeps its default, which a larger one did not improve.
        fidelity: Of :func:`refine_prediction`.
        scale: The size for both: 1, 1/2 or 1/4 of the image's side.
        noise: Standard deviation of the noise, in [0, 1].
        reasons: A sentence for each setting.
    """

    eps: float
    fidelity: float
    scale: float
    noise: float
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        settings = f"eps={self.eps:.1g}, fidelity={self.fidelity:.2g}, scale={self.scale:g}"
        return "\n".join([settings, *(f"  {reason}" for reason in self.reasons)])


@torch.no_grad()
def suggest_settings(
    images: Tensor | Sequence[Tensor], marks: Tensor | Sequence[Tensor] | None = None, *, ignore_index: int = 255
) -> SuggestedSettings:
    r"""Suggests eps, fidelity and scale for a few images, such as ten of a data set, from the images and their marks.

    * **eps.** A step of the matte on an edge, whose windows of 9 pixels have the variance v, costs
      :math:`1 / (1 + 9 v / \varepsilon)` of the same step elsewhere. For grey images eps is 0.009 v, which makes this
      0.1 %, with the 90th percentile of the variances of an image's windows as v. Colour photographs keep the default:
      no rule was better on those that were measured.
    * **scale.** The smallest of 1, 1/2 and 1/4 at which at least half of the marked squares have no mark of another
      class within 40 squares. 1 without an image that has marks of two classes.
    * **fidelity.** The filter should reach from mark to mark, and not beyond. It reaches :math:`\sqrt{6 / \lambda}`
      pixels far, so :math:`\lambda = 0.03 / (s\, \mathrm{scale})^2`, with s the largest of 1, 2 and 4 pixels for which
      at least half of the marked squares of this side have no mark of another class within 10 squares. 0.03
      without such an image.
    * **noise.** The median absolute diagonal detail of the Haar wavelet over 0.6745 (Donoho & Johnstone). A reason says
      so if it is as strong as the edges.

    Args:
        images: ``(N, D, H, W)`` in [0, 1] or uint8, or a sequence of ``(D, H, W)`` of any sizes.
        marks: ``(N, H, W)`` integers, or a sequence of ``(H, W)``, ``ignore_index`` where unmarked. Default none.
        ignore_index: Label of unmarked pixels. Default 255.

    Returns:
        The settings, medians over the images; ``print`` shows them with the reasons.

    Raises:
        TypeError: A wrong dtype.
        ValueError: There is no image; a shape does not fit; an image is not in [0, 1]; a label is negative.

    Reference:
        Donoho, Johnstone: Ideal spatial adaptation by wavelet shrinkage. Biometrika 1994.

    Example:
        >>> import torch
        >>> from closedform_wsss.functional import suggest_settings
        >>> image = 0.05 * torch.randn(1, 1, 64, 64) + 0.4
        >>> image[..., 20:44, 20:44] += 0.25  # a noisy slice with an organ
        >>> found = suggest_settings(image.clamp(0, 1))
        >>> 1e-5 < found.eps < 1e-4, found.fidelity, found.scale
        (True, 0.03, 1.0)
    """
    pairs = _pairs(images, marks, ignore_index)
    noises = [_noise(image) for image, _ in pairs]
    grey = [image for image, _ in pairs if bool((image == image[:, :1]).all())]
    noise, is_grey = statistics.median(noises), 2 * len(grey) > len(pairs)
    eps, reasons = EPS, []
    if is_grey:
        variance = statistics.median([_edge_variance(image) for image in grey])
        eps = min(max(EPS_OF_VARIANCE * variance, EPS), LARGEST_EPS)
        reasons.append(f"eps: grey images, whose weaker edges have the variance {variance:.2g} in a window")
        if variance and 2 * grey[0].shape[1] * noise**2 > variance:
            reasons.append(f"noise: {noise:.2g}, as strong as these edges: smooth or average first, or mark more")
    else:
        reasons.append(f"eps: the default, for colour photographs (noise {noise:.2g})")
    # Marks of one class are apart from no others, which says nothing.
    targets = [t for _, t in pairs if t is not None and len(t[t != ignore_index].unique()) > 1]
    side, reach = (_side(targets, squares, ignore_index) for squares in (SOLVER_REACH, FILTER_REACH))
    scale = 1 / side
    if targets:
        reasons.append(f"scale: {_apart(side, SOLVER_REACH)}")
        reasons.append(f"fidelity: {_apart(reach, FILTER_REACH)}")
    else:
        reasons.append("scale and fidelity: the defaults, without marks of two classes in an image")
    return SuggestedSettings(eps, FIDELITY / (reach * scale) ** 2, scale, noise, tuple(reasons))


def _pairs(
    images: Tensor | Sequence[Tensor], marks: Tensor | Sequence[Tensor] | None, ignore_index: int
) -> list[tuple[Tensor, Tensor | None]]:
    """Image ``(1, D, H, W)`` and marks ``(1, H, W)``, checked."""
    check_integer(FN, "ignore_index", ignore_index)
    if isinstance(images, Tensor) and images.ndim != 4:
        check_image(FN, images)  # which says what is wrong
    for name, values, of_one in (("images", images, "(D, H, W)"), ("marks", marks, "(H, W)")):
        if not isinstance(values, (Tensor, Sequence)) and (name == "images" or values is not None):
            raise TypeError(
                f"{FN}: {name} must be a tensor or a sequence of tensors {of_one}, got {type(values).__name__}"
            )
    if isinstance(marks, Tensor) and marks.ndim != 3:
        raise ValueError(f"{FN}: marks must be (N, H, W), got shape {tuple(marks.shape)}")
    if len(images) == 0:
        raise ValueError(f"{FN}: images must hold at least one image, got none")
    if marks is not None and len(marks) != len(images):
        raise ValueError(f"{FN}: marks must be those of the {len(images)} images, got {len(marks)}")
    for image in images:
        check_tensor(FN, "each image", image)
    checked = [check_image(FN, image[None]) for image in images]
    if marks is None:
        return [(image, None) for image in checked]
    pairs: list[tuple[Tensor, Tensor | None]] = []
    for image, own in zip(checked, marks, strict=True):
        check_tensor(FN, "marks of each image", own)
        target = check_target(FN, own[None], 1, image.device, None, ignore_index, name="marks")
        if target.shape[1:] != image.shape[2:]:
            raise ValueError(
                f"{FN}: marks must have the image's size {tuple(image.shape[2:])}, got {tuple(target.shape[1:])}"
            )
        pairs.append((image, target))
    return pairs


def _noise(image: Tensor) -> float:
    """Of the standard deviation, by the details of the Haar wavelet along both diagonals."""
    h, w = (side - side % 2 for side in image.shape[2:])
    if not h or not w:
        return 0.0
    a, b = image[..., 0:h:2, 0:w:2], image[..., 0:h:2, 1:w:2]
    c, d = image[..., 1:h:2, 0:w:2], image[..., 1:h:2, 1:w:2]
    return float(((a - b - c + d) / 2).abs().median()) / MAD


def _edge_variance(image: Tensor) -> float:
    """The variance of a window, summed over the channels, that a tenth of the windows exceed."""
    h, w = image.shape[2:]
    size = (min(h, 3), min(w, 3))
    x = image.double()
    x = x - x.mean((2, 3), keepdim=True)  # small numbers, whose squares are exact enough
    mean = F.avg_pool2d(x, size, 1)
    variance = (F.avg_pool2d(x * x, size, 1) - mean * mean).clamp_min(0).sum(1).flatten()
    return float(variance.kthvalue(max(1, round(EDGES * len(variance)))).values)


def _side(targets: list[Tensor], reach: int, ignore_index: int) -> int:
    """The median over the images of the largest squares; 1 without marks."""
    sides = []
    for target in targets:
        classes = int(target[target != ignore_index].max()) + 1
        sides.append(int(sides_from_marks(target, classes, ignore_index, sides=SIDES, reach=reach)))
    return statistics.median_low(sides) if sides else 1


def _apart(side: int, reach: int) -> str:
    distance = f"at least {reach * side}" if side > 1 else f"less than {reach * SIDES[1]}"
    return f"half of the marks are {distance} pixels away from those of other classes"
