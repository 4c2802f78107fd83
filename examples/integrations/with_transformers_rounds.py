"""Self-training in rounds with the Trainer of Hugging Face: a callback makes the labels."""

import tempfile

import torch
from _augmented import Portraits, augment
from _photograph import MEAN, NUM_CLASSES, STD, save, scribbled_batch
from transformers import SegformerConfig, SegformerForSemanticSegmentation, Trainer, TrainingArguments

from closedform_wsss.training import PseudoLabeler
from closedform_wsss.training.transformers import PseudoLabelCallback

labeler = PseudoLabeler(tempfile.mkdtemp(), NUM_CLASSES)  # a new folder for each training


class LabelledPortraits(Portraits):
    def __getitem__(self, index):
        key, image, marks = self.read(index)
        image, target = augment(image, labeler.get(key, marks))  # before the augmentation
        return {"pixel_values": (image - MEAN) / STD, "labels": target}


class FromScribbles(Trainer):
    def compute_loss(self, model, inputs, return_outputs=False, **_):
        output = model(pixel_values=inputs["pixel_values"])
        image = (inputs["pixel_values"] * STD.to(model.device) + MEAN.to(model.device)).clamp(0, 1)
        loss = labeler.loss(output.logits, inputs["labels"], image)
        return (loss, output) if return_outputs else loss


torch.manual_seed(0)
config = SegformerConfig(num_labels=NUM_CLASSES)  # or from_pretrained(...)
model, data = SegformerForSemanticSegmentation(config), LabelledPortraits()
callback = PseudoLabelCallback(
    labeler,
    [data.read(index) for index in range(len(data))],
    lambda model, image: model(pixel_values=(image - MEAN.to(image)) / STD.to(image)),
)
arguments = TrainingArguments(
    tempfile.mkdtemp(), num_train_epochs=20, per_device_train_batch_size=2, learning_rate=3e-4,
    remove_unused_columns=False, report_to=[], save_strategy="no", disable_tqdm=True, use_cpu=True,
)  # fmt: skip
result = FromScribbles(model, arguments, train_dataset=data, callbacks=[callback]).train()
print(callback.report)
print(f"loss {result.training_loss:.3f}")
image, marks = scribbled_batch()
save(image, marks, model.eval()(pixel_values=(image - MEAN) / STD).logits.detach(), "with_transformers_rounds.jpg")
