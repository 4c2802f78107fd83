"""mmsegmentation: a segmentor with a loss on the image.

Losses of decode heads get no image, so the segmentor adds the loss. In a config:

    custom_imports = dict(imports=["with_mmsegmentation"])
    model = dict(type="ClosedFormEncoderDecoder", ...)
"""

import torch
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from closedform_wsss.nn import ClosedFormLoss


@MODELS.register_module()
class ClosedFormEncoderDecoder(EncoderDecoder):
    """``weight`` is the weight of the closed-form loss."""

    def __init__(self, *args, weight: float = 1.0, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.closed_form, self.weight = ClosedFormLoss(), weight

    def loss(self, inputs, data_samples):
        logits = []
        hook = self.decode_head.conv_seg.register_forward_hook(lambda module, args, output: logits.append(output))
        try:
            losses = super().loss(inputs, data_samples)
        finally:
            hook.remove()
        normalised = self.data_preprocessor  # undo its normalisation
        image = ((inputs * normalised.std + normalised.mean) / 255).clamp(0, 1)
        marks = torch.stack([sample.gt_sem_seg.data[0] for sample in data_samples])
        return losses | {"loss_closed_form": self.weight * self.closed_form(logits[0], marks, image)}
