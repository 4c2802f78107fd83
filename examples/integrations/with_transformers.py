"""Hugging Face transformers: the logits of SegFormer have a quarter of the size of the image.

The loss resizes image and marks to the size of the logits.
"""

import torch
from _photograph import MEAN, NUM_CLASSES, STD, save, scribbled_batch
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from closedform_wsss.nn import MarkLoss

torch.manual_seed(0)
image, marks = scribbled_batch()
config = SegformerConfig(num_labels=NUM_CLASSES)  # or from_pretrained(...)
model = SegformerForSemanticSegmentation(config)
criterion = MarkLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
for _ in range(40):
    output = model(pixel_values=(image - MEAN) / STD)
    loss = criterion(output.logits, marks, image)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.3f}")
save(image, marks, output.logits, "with_transformers.jpg")
