"""Self-training in rounds in a loop of one's own, here with segmentation_models_pytorch."""

import tempfile

import torch
from _augmented import Portraits, augment
from _photograph import MEAN, NUM_CLASSES, STD, save, scribbled_batch
from segmentation_models_pytorch import Unet

from closedform_wsss.training import PseudoLabeler

EPOCHS = 20
torch.manual_seed(0)
labeler = PseudoLabeler(tempfile.mkdtemp(), NUM_CLASSES)  # a new folder for each training


class LabelledPortraits(Portraits):
    def __getitem__(self, index):
        key, image, marks = self.read(index)
        return augment(image, labeler.get(key, marks))  # before the augmentation


data = LabelledPortraits()
loader = torch.utils.data.DataLoader(data, batch_size=2, shuffle=True)
model = Unet("resnet18", encoder_weights=None, classes=NUM_CLASSES)  # "imagenet" downloads weights
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
for epoch in range(EPOCHS):
    if labeler.due(epoch, EPOCHS):
        samples = (data.read(index) for index in range(len(data)))
        model.eval()
        print(labeler.update(lambda image: model((image - MEAN) / STD), samples))
        model.train()
    for image, target in loader:
        loss = labeler.loss(model((image - MEAN) / STD), target, image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(f"loss {loss.item():.3f}")
image, marks = scribbled_batch()
save(image, marks, model.eval()((image - MEAN) / STD).detach(), "with_smp_rounds.jpg")
