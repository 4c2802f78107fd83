"""torchvision: the segmentation models return a dictionary."""

import torch
from _photograph import MEAN, NUM_CLASSES, STD, save, scribbled_batch
from torchvision.models.segmentation import deeplabv3_mobilenet_v3_large

from closedform_wsss.nn import MarkLoss

torch.manual_seed(0)
image, marks = scribbled_batch()
model = deeplabv3_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=NUM_CLASSES)
criterion = MarkLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for _ in range(40):
    logits = model((image - MEAN) / STD)["out"]
    loss = criterion(logits, marks, image)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.3f}")
save(image, marks, logits, "with_torchvision.jpg")
