"""pytorch-grad-cam: refined class activation maps of any classifier.

The classifier here is EfficientNet-Lite0 with its ImageNet weights: 281, 282 and 285 are cats.
"""

import sys
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from pytorch_grad_cam import GradCAM

from closedform_wsss.functional import asam, pseudo_labels, refine_cam, soft_slic
from closedform_wsss.io import from_array

sys.path.insert(0, str(Path(__file__).parent.parent))
from segmentation.model import EfficientNetLite0, batch_norm, imagenet_weights


class Classifier(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        weights = imagenet_weights()
        self.features = EfficientNetLite0()
        self._conv_head = torch.nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1, self.relu, self._fc = batch_norm(1280), torch.nn.ReLU6(), torch.nn.Linear(1280, 1000)
        self.load_state_dict({k: v for k, v in weights.items() if k.startswith(("_conv_head", "_bn1", "_fc"))}, False)

    def forward(self, image):
        maps = self.relu(self._bn1(self._conv_head(self.features(image)[-1])))
        return self._fc(maps.mean((2, 3)))


classifier = Classifier().eval()
image = from_array(skimage.data.chelsea())[None] / 255
# The size for which the classifier was trained. The functions below accept maps of any size.
small = torch.nn.functional.interpolate(image, (224, 336), mode="bilinear", antialias=True)
with GradCAM(classifier, target_layers=[classifier.relu]) as grad_cam:
    cam = grad_cam(small, targets=[lambda scores: scores[[281, 282, 285]].sum()])  # (N, H, W) in [0, 1], NumPy
cam = torch.from_numpy(cam)[:, None]  # one foreground class
cam = torch.nn.functional.interpolate(cam, image.shape[2:], mode="bilinear")

spread = asam(cam, soft_slic(image, cell_size=16))  # superpixels alone
refined = refine_cam(cam, image)  # ASAM, the matting filter and the calibration
labels = pseudo_labels(refined, threshold=0.4)

grey = image[0].mean(0).numpy()
panels = [grey, *(0.35 * grey + 0.65 * m[0, 0].clamp(0, 1).numpy() for m in (cam, spread, refined)), labels[0].numpy()]
Image.fromarray((np.concatenate(panels, 1) * 255).round().astype(np.uint8)).save("with_grad_cam.jpg")
print(f"cat on {labels.float().mean():.0%} of the pixels")
