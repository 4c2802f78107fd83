"""Hugging Face transformers: SegFormer computes the cross-entropy itself. Its logits have a quarter of the size.

The closed-form loss resizes image and marks to the size of the logits.
"""

import torch
from _photograph import MEAN, NUM_CLASSES, STD, save, scribbled_batch
from transformers import SegformerConfig, SegformerForSemanticSegmentation

from closedform_wsss.nn import ClosedFormLoss

torch.manual_seed(0)
image, marks = scribbled_batch()
config = SegformerConfig(num_labels=NUM_CLASSES, semantic_loss_ignore_index=255)  # or from_pretrained(...)
model = SegformerForSemanticSegmentation(config)
closed_form = ClosedFormLoss()
optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
for _ in range(40):
    output = model(pixel_values=(image - MEAN) / STD, labels=marks)
    loss = output.loss + closed_form(output.logits, marks, image)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.3f}")
save(image, marks, output.logits, "with_transformers.jpg")
