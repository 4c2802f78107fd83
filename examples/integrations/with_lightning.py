"""Lightning: the loss is a submodule, and the batch contains the image in [0, 1]."""

import lightning
import torch
from _photograph import MEAN, NUM_CLASSES, STD, save, scribbled_batch

from closedform_wsss.nn import MarkLoss


class FromScribbles(lightning.LightningModule):
    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.criterion = model, MarkLoss()

    def training_step(self, batch, batch_idx):
        image, marks = batch
        logits = self.model((image - MEAN.to(image)) / STD.to(image))
        loss = self.criterion(logits, marks, image)
        self.log("loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


lightning.seed_everything(0, verbose=False)
image, marks = scribbled_batch()
layers = [torch.nn.Conv2d(3, 32, 7, padding=3), torch.nn.BatchNorm2d(32), torch.nn.ReLU()]
for step in (4, 8):
    layers += [torch.nn.Conv2d(32, 32, 3, padding=step, dilation=step), torch.nn.BatchNorm2d(32), torch.nn.ReLU()]
module = FromScribbles(torch.nn.Sequential(*layers, torch.nn.Conv2d(32, NUM_CLASSES, 1)))
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(image, marks), batch_size=2)
quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = lightning.Trainer(max_epochs=40, accelerator="cpu", **quiet)
trainer.fit(module, loader)
print(f"loss {trainer.callback_metrics['loss']:.3f}")
save(image, marks, module.model((image - MEAN) / STD).detach(), "with_lightning.jpg")
