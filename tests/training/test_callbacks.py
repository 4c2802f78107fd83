"""What the callbacks for Lightning and transformers share. They run themselves in the integrations."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.scenes import network, scene
from torch import Tensor

from closedform_wsss.functional import mark_loss
from closedform_wsss.training import PseudoLabeler, Recipe
from closedform_wsss.training.callback import Rounds
from closedform_wsss.training.model_output import logits_of


class Scenes:
    """A map-style data set, which has no end when it is iterated."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> tuple[str, Tensor, Tensor]:
        image, marks, _ = scene(index % 4)
        return f"scene-{index}", image, marks


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, image: Tensor) -> Tensor:
        assert not self.training
        return network(image) * self.scale


def test_labels_are_made_at_the_rounds(tmp_path: Path) -> None:
    labeler = PseudoLabeler(tmp_path, 3)
    rounds, net = Rounds(labeler, Scenes()), Net().train()
    marks = Scenes()[0][2]
    done = []
    for epoch in range(6):
        rounds.start_epoch(epoch, 6, net)
        done.append((labeler.get("scene-0", marks) != 255).float().mean().item() > 0.9)
    assert done == [False, False, True, True, True, True]
    assert labeler.round == 2 and rounds.report is not None and net.training
    assert labeler.get("scene-0", marks).dtype == marks.dtype
    with pytest.raises(ValueError, match="labels of an earlier training, and this one starts at epoch 0: pass another"):
        rounds.start_epoch(0, 6, net)


def test_what_models_return(tmp_path: Path) -> None:
    logits = torch.zeros(1, 3, 4, 4)
    for output in (logits, {"out": logits}, {"logits": logits}, SimpleNamespace(logits=logits)):
        assert logits_of("f", output) is logits
    for output in ((logits,), {"mask": logits}, None):
        with pytest.raises(TypeError, match=r"f: predict must return logits, got .*: pass a function that returns"):
            logits_of("f", output)
    labeler = PseudoLabeler(tmp_path, 3)
    labeler.update(lambda image: {"out": network(image)}, [Scenes()[0]])
    assert "scene-0" in labeler
    with pytest.raises(TypeError, match="update, sample 'scene-0': predict must return logits, got tuple"):
        labeler.update(lambda image: (network(image),), [Scenes()[0]])


def test_iterables_and_predict(tmp_path: Path) -> None:
    labeler = PseudoLabeler(tmp_path, 3, Recipe(rounds=(1 / 3,)))
    samples = [Scenes()[k] for k in range(2)]
    rounds = Rounds(labeler, iter(samples), lambda net, image: {"out": net(image)})
    rounds.start_epoch(2, 6, Net())
    assert "scene-1" in labeler and "scene-2" not in labeler


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_the_image_has_the_dtype_of_the_model(tmp_path: Path, dtype: torch.dtype) -> None:
    net = torch.nn.Conv2d(3, 3, 1).to(dtype)
    rounds = Rounds(PseudoLabeler(tmp_path, 3), Scenes())
    rounds.start_epoch(2, 6, net)
    assert rounds.report is not None
    frozen = torch.nn.Identity()  # a model without parameters gets the image as it is
    other = Rounds(PseudoLabeler(tmp_path / "other", 3), Scenes(), lambda _, image: network(image))
    other.start_epoch(2, 6, frozen)
    assert other.report is not None


def test_samples_that_can_be_read_once_are_refused_before_the_second_round(tmp_path: Path) -> None:
    """At once, not at half of the training."""
    samples = (Scenes()[k] for k in range(2))
    with pytest.raises(TypeError, match=r"PseudoLabelCallback: samples must be .* again .*, got a generator"):
        Rounds(PseudoLabeler(tmp_path, 3), samples)
    labeler = PseudoLabeler(tmp_path, 3)
    labeler.update(network, samples)
    with pytest.raises(ValueError, match="got none: a generator is empty once it was read, make it anew for"):
        labeler.update(network, samples)


def test_get_refuses_other_marks(tmp_path: Path) -> None:
    labeler = PseudoLabeler(tmp_path, 3)
    marks = Scenes()[0][2]
    assert labeler.get("scene-0", marks) is marks
    labeler.update(network, [Scenes()[0]])
    assert (labeler.get("scene-0", marks) != 255).float().mean() > 0.9
    for wrong in (marks.flip(0), marks[:40], Scenes()[1][2]):
        with pytest.raises(ValueError, match="before augmentation"):
            labeler.get("scene-0", wrong)
    with pytest.raises(KeyError, match="holds no label of 'scene-7'"):
        labeler.get("scene-7", marks)


def test_get_in_a_worker_that_lives_through_the_training(tmp_path: Path) -> None:
    """Its copy of the labeler knows of no round."""
    labeler = PseudoLabeler(tmp_path, 3)
    worker, marks = pickle.loads(pickle.dumps(labeler)), Scenes()[0][2]
    assert worker.get("scene-0", marks) is marks
    labeler.update(network, [Scenes()[0]])
    assert torch.equal(worker.get("scene-0", marks), labeler.get("scene-0", marks))
    with pytest.raises(KeyError, match="holds no label of 'scene-7'"):
        worker.get("scene-7", marks)


def test_a_training_too_short_for_a_round_is_reported(tmp_path: Path) -> None:
    rounds = Rounds(PseudoLabeler(tmp_path, 3), Scenes())
    rounds.start_epoch(0, 1, Net())
    with pytest.warns(UserWarning, match="no round was due in this training: it needs 2 epochs or more"):
        rounds.end()


@pytest.mark.parametrize("steps", [5, 4])
@pytest.mark.parametrize("resumed", [0.0, 1.4, 1.6, 2.8])
def test_epochs_of_the_trainer_of_transformers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int, resumed: float
) -> None:
    """Its state has the epoch of the last step. With 5 batches and 4 steps an epoch ends at 0.8."""
    stub: Any = ModuleType("transformers")
    for name in ("TrainerCallback", "TrainerControl", "TrainerState", "TrainingArguments"):
        setattr(stub, name, type(name, (), {}))
    monkeypatch.setitem(sys.modules, "transformers", stub)
    monkeypatch.delitem(sys.modules, "closedform_wsss.training.transformers", raising=False)
    module = importlib.import_module("closedform_wsss.training.transformers")
    monkeypatch.delitem(sys.modules, "closedform_wsss.training.transformers")
    callback = module.PseudoLabelCallback(PseudoLabeler(tmp_path, 3), Scenes())
    begun: list[tuple[int, int]] = []
    monkeypatch.setattr(callback._rounds, "start_epoch", lambda epoch, epochs, model: begun.append((epoch, epochs)))
    args = SimpleNamespace(max_steps=-1, num_train_epochs=4.0)
    first, done = int(resumed), int((resumed % 1) * steps)
    state = SimpleNamespace(epoch=resumed, global_step=first * steps + done, max_steps=4 * steps)
    callback.on_train_begin(args, state, None)
    for epoch in range(first, 4):
        callback.on_epoch_begin(args, state, None, model=Net())
        state.epoch, state.global_step = epoch + steps / 5, (epoch + 1) * steps
    assert begun == [(epoch, 4) for epoch in range(first, 4)]
    with pytest.raises(ValueError, match="the training must be given by num_train_epochs, got max_steps 9"):
        callback.on_train_begin(SimpleNamespace(max_steps=9), state, None)


@pytest.mark.parametrize("rounds", [0, 1])
def test_a_network_of_other_classes_is_refused_at_the_first_step(tmp_path: Path, rounds: int) -> None:
    """mark_loss takes any number of classes, so that the first round would notice it, a third of the training later."""
    labeler = PseudoLabeler(tmp_path, 3)
    key, image, marks = Scenes()[0]
    if rounds:
        labeler.update(network, [(key, image, marks)])
    for channels, message in ((4, r"3 channels, got shape \(1, 4, 48, 64\)"), (1, "2 or more channels.*torch.cat")):
        logits = torch.zeros(1, channels, *marks.shape)
        with pytest.raises(ValueError, match=rf"PseudoLabeler\.loss: logits must have {message}"):
            labeler.loss(logits, marks[None], image[None])


def test_the_loss_of_a_labeler(tmp_path: Path) -> None:
    labeler = PseudoLabeler(tmp_path, 3)
    samples = [Scenes()[k] for k in range(2)]
    image = torch.stack([x for _, x, _ in samples])
    marks = torch.stack([m for _, _, m in samples])
    logits = network(image).requires_grad_()
    expected = mark_loss(logits, marks, image, crf_weight=0)
    torch.testing.assert_close(labeler.loss(logits, marks, image), expected)
    other = PseudoLabeler(tmp_path / "other", 3, ignore_index=3)  # of unmarked pixels
    torch.testing.assert_close(other.loss(logits, torch.where(marks == 255, 3, marks), image), expected)
    labeler.update(network, samples)
    labels = torch.stack([labeler[key] for key, _, _ in samples])
    full = F.interpolate(logits, marks.shape[1:])
    expected = F.cross_entropy(full, labels.long(), labeler.class_weight, ignore_index=255)
    torch.testing.assert_close(labeler.loss(full, labels, image), expected)
    padded = labels.clone()
    padded[:, :5] = 255
    torch.testing.assert_close(
        labeler.loss(full, padded, image), F.cross_entropy(full, padded.long(), labeler.class_weight, ignore_index=255)
    )
    nothing = labeler.loss(full, torch.full_like(labels, 255), image)
    assert nothing == 0 and nothing.requires_grad
    with pytest.raises(ValueError, match=r"PseudoLabeler\.loss: target must hold classes in"):
        labeler.loss(full, labels + 3, image)
