"""Self-training in rounds with Lightning: a callback makes the labels."""

import tempfile

import lightning
import torch
from _augmented import Portraits, augment
from _photograph import MEAN, NUM_CLASSES, STD, save, scribbled_batch

from closedform_wsss.training import PseudoLabeler
from closedform_wsss.training.lightning import PseudoLabelCallback

labeler = PseudoLabeler(tempfile.mkdtemp(), NUM_CLASSES)  # a new folder for each training


class LabelledPortraits(Portraits):
    def __getitem__(self, index):
        key, image, marks = self.read(index)
        return augment(image, labeler.get(key, marks))  # before the augmentation


class FromScribbles(lightning.LightningModule):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, image):
        return self.model((image - MEAN.to(image)) / STD.to(image))

    def training_step(self, batch, batch_idx):
        image, target = batch
        loss = labeler.loss(self(image), target, image)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


lightning.seed_everything(0, verbose=False)
layers = [torch.nn.Conv2d(3, 32, 7, padding=3), torch.nn.BatchNorm2d(32), torch.nn.ReLU()]
for step in (4, 8):
    layers += [torch.nn.Conv2d(32, 32, 3, padding=step, dilation=step), torch.nn.BatchNorm2d(32), torch.nn.ReLU()]
module = FromScribbles(torch.nn.Sequential(*layers, torch.nn.Conv2d(32, NUM_CLASSES, 1)))
data = LabelledPortraits()
callback = PseudoLabelCallback(labeler, [data.read(index) for index in range(len(data))])
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = lightning.Trainer(max_epochs=20, accelerator="cpu", callbacks=[callback], **quiet)
trainer.fit(module, torch.utils.data.DataLoader(data, batch_size=2, shuffle=True))
print(callback.report)
print(f"loss {trainer.callback_metrics['loss']:.3f}")
image, marks = scribbled_batch()
save(image, marks, module.eval()(image).detach(), "with_lightning_rounds.jpg")
