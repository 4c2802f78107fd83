"""Checks of logits."""

from __future__ import annotations

from torch import Tensor

from closedform_wsss._checks.values import reads_values
from closedform_wsss._warn import warn_user

_SUM = 1e-2  # from 1; half precision rounds


def check_two_classes(fn: str, logits: Tensor) -> None:
    """Two classes or more. A single one would win everywhere: its softmax is 1, and only it can be marked."""
    if logits.shape[1] < 2 and logits.shape[0]:
        raise ValueError(
            f"{fn}: logits must have 2 or more channels, one for each class, got shape {tuple(logits.shape)}: for a "
            "binary network with one logit z, sigmoid(z) the foreground, pass torch.cat([torch.zeros_like(z), z], 1)"
        )


def check_num_classes(fn: str, logits: Tensor, num_classes: int) -> None:
    """As many channels as the training has classes."""
    check_two_classes(fn, logits)
    if logits.shape[1] != num_classes:
        raise ValueError(f"{fn}: logits must have {num_classes} channels, got shape {tuple(logits.shape)}")


def check_two_probabilities(fn: str, probs: Tensor) -> None:
    """Two classes or more. A single one would be 1 everywhere, since the classes add up to 1."""
    if probs.shape[1] < 2:
        raise ValueError(
            f"{fn}: probs must have 2 or more channels, one for each class, got shape {tuple(probs.shape)}: with the "
            "probability p of the foreground alone, pass torch.cat([1 - p, p], 1)"
        )


def check_logits(fn: str, logits: Tensor) -> None:
    """Logits of a softmax: two classes or more. Warns of probabilities: their softmax is nearly flat."""
    check_two_classes(fn, logits)
    # A row first: that says no for almost all logits.
    if reads_values(logits) and _probabilities(logits[:1, :, :1]) and _probabilities(logits):
        warn_user(
            f"{fn}: logits are in [0, 1] and add up to 1 in every pixel, as probabilities do: pass what the network "
            "gives before its softmax",
            UserWarning,
        )


def _probabilities(x: Tensor) -> bool:
    x = x.detach()
    return bool(x.amin() >= 0) and bool(((x.float().sum(1) - 1).abs() <= _SUM).all())
