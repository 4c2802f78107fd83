"""The multi-label head: image tags from a segmentation network's features."""

from __future__ import annotations

from torch import Tensor, nn

from closedform_wsss._checks import check_count, check_maps, check_pixels

FN = "MultiLabelHead"


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

    Raises:
        TypeError, ValueError: When it is made: a number is below 1. When it is called: features are not floating point,
            not ``(N, in_channels, h, w)``, or have no pixel.

    Example:
        >>> import torch
        >>> from closedform_wsss.nn import MultiLabelHead
        >>> head = MultiLabelHead(64, 21)
        >>> head(torch.rand(2, 64, 13, 17)).shape
        torch.Size([2, 21])
    """

    def __init__(self, in_channels: int, num_classes: int, hidden_channels: int | None = None) -> None:
        super().__init__()
        in_channels = check_count(FN, "in_channels", in_channels, 1)
        num_classes = check_count(FN, "num_classes", num_classes, 1)
        hidden_channels = in_channels if hidden_channels is None else hidden_channels
        hidden_channels = check_count(FN, "hidden_channels", hidden_channels, 1)
        self.in_channels = in_channels
        self.layers = nn.Sequential(
            nn.Linear(in_channels, hidden_channels), nn.ReLU(), nn.Linear(hidden_channels, num_classes)
        )

    def forward(self, features: Tensor) -> Tensor:
        features = check_maps(FN, "features", features, None, None)
        if features.shape[1] != self.in_channels:
            raise ValueError(f"{FN}: features must have {self.in_channels} channels, got shape {tuple(features.shape)}")
        check_pixels(FN, "features", features)  # the mean over none would be NaN
        logits: Tensor = self.layers(features.mean((2, 3)))
        return logits
