"""The multi-label head: image tags from a segmentation network's features."""

from __future__ import annotations

from torch import Tensor, nn


class MultiLabelHead(nn.Module):
    """Average pool and two linear layers: the logits of which classes an image holds.

    Trained with :func:`closedform_wsss.functional.multi_label_loss` on image tags. Its thresholded sigmoid is
    the ``class_present`` of :func:`closedform_wsss.functional.closed_form_loss` where tags are not given.

    Args:
        in_channels: Channels of the features.
        num_classes: The number of classes, C.
        hidden_channels: Width of the hidden layer. Default ``in_channels``.

    Shape:
        features ``(N, in_channels, h, w)`` of any size -> logits ``(N, C)``.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import MultiLabelHead
        >>> head = MultiLabelHead(64, 21)
        >>> head(torch.rand(2, 64, 13, 17)).shape
        torch.Size([2, 21])
    """

    def __init__(self, in_channels: int, num_classes: int, hidden_channels: int | None = None) -> None:
        super().__init__()
        hidden_channels = in_channels if hidden_channels is None else hidden_channels
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden_channels), nn.ReLU(), nn.Linear(hidden_channels, num_classes)
        )

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.layers(features.contiguous().mean((2, 3)))
        return logits
