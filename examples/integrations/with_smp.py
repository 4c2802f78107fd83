"""segmentation_models_pytorch: the models return logits at the size of the image."""

import torch
from _photograph import MEAN, NUM_CLASSES, STD, save, scribbled_batch
from segmentation_models_pytorch import Unet

from closedform_wsss.nn import MarkLoss

torch.manual_seed(0)
image, marks = scribbled_batch()
model = Unet("resnet18", encoder_weights=None, classes=NUM_CLASSES)  # "imagenet" downloads weights
criterion = MarkLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for _ in range(40):
    logits = model((image - MEAN) / STD)
    loss = criterion(logits, marks, image)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.3f}")
save(image, marks, logits, "with_smp.jpg")
