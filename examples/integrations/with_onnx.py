"""ONNX: a network whose predictions are filtered along the edges of the image, in ONNX Runtime."""

import numpy as np
import onnxruntime
import torch
from _photograph import scribbled_batch

from closedform_wsss.nn import MattingFilter


class Filtered(torch.nn.Module):
    def __init__(self, network: torch.nn.Module) -> None:
        super().__init__()
        self.network = network
        # A fixed number of steps: the exported program is plain PyTorch.
        self.filter = MattingFilter(fidelity=0.1, num_iters=6)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        probs = self.network(image - 0.5).softmax(1)
        return self.filter(probs, image)


torch.manual_seed(0)
image, _ = scribbled_batch()
image = image[:1, :, :96, :128].contiguous()
model = Filtered(torch.nn.Conv2d(3, 4, 3, padding=1, stride=4)).eval()
torch.onnx.export(model, (image,), "with_onnx.onnx", dynamo=True)

session = onnxruntime.InferenceSession("with_onnx.onnx")
(refined,) = session.run(None, {session.get_inputs()[0].name: image.numpy()})
with torch.no_grad():
    difference = np.abs(refined - model(image).numpy()).max()
print(f"ONNX Runtime: {refined.shape}, largest difference {difference:.1e}")
