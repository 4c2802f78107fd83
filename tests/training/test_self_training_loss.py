"""Self-training in each step, on made scenes."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers.scenes import network, scene
from torch import Tensor

from closedform_wsss.functional import mark_loss, refine_prediction
from closedform_wsss.training import Recipe, SelfTrainingLoss, class_weights
from closedform_wsss.training.self_training_loss import scaled_size


def batch(first: int, count: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Logits with a graph, marks, image."""
    images, marks, _ = zip(*(scene(k) for k in range(first, first + count)), strict=True)
    image = torch.stack(images)
    return network(image).requires_grad_(), torch.stack(marks), image


def run(criterion: SelfTrainingLoss, steps: int, first: int = 0) -> list[float]:
    values = []
    for step in range(first, first + steps):
        logits, marks, image = batch(2 * step)
        loss = criterion(logits, marks, image)
        loss.backward()
        assert loss.isfinite() and logits.grad is not None and logits.grad.isfinite().all()
        values.append(loss.item())
    return values


def test_it_starts_as_the_loss_of_marks_and_ends_with_labels() -> None:
    criterion = SelfTrainingLoss(3, 12, Recipe(num_images=1))
    logits, marks, image = batch(0)
    for step in range(4):
        assert criterion.steps_done == step and criterion.rounds_done == 0
        expected = mark_loss(logits, marks, image, crf_weight=0)
        torch.testing.assert_close(criterion(logits, marks, image), expected)
    loss = criterion(logits, marks, image)
    assert criterion.rounds_done == 1

    h, w = logits.shape[2:]
    small = F.max_pool2d(-marks[:, None].float(), 2)  # marks at the size of the logits: one class at most in a square
    marks_small = (-small)[:, 0].long()
    size = scaled_size((h, w), 1 / criterion._side)
    p = F.interpolate(logits.softmax(1), size, mode="area")
    image_small = F.interpolate(image, (h, w), mode="bilinear", antialias=True)
    image_small = F.interpolate(image_small, size, mode="bilinear", antialias=True).clamp(0, 1)
    factors = criterion.class_factors
    q = refine_prediction(p.clamp(0, 1), image_small, marks_small, class_factors=factors, eps=1e-5, num_iters=20)
    labels = F.interpolate(q, (h, w), mode="bilinear").argmax(1)
    labels = torch.where(marks_small == 255, labels, marks_small)
    weight = class_weights(criterion.fractions, power=0.3)
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels, weight))
    assert criterion(logits, marks, image).requires_grad


def test_areas_are_corrected() -> None:
    """The network predicts far too much of the red class."""
    criterion = SelfTrainingLoss(3, 6)
    run(criterion, 6)
    assert criterion.rounds_done == 2
    truth = torch.stack([scene(k)[2].flatten().bincount(minlength=3) for k in range(12)]).float().mean(0) / (48 * 64)
    predicted = torch.cat([network(scene(k)[0][None]).softmax(1) for k in range(12)]).mean((0, 2, 3))
    assert (criterion.fractions - truth).abs().max() < 0.02 < (predicted - truth).abs().max()
    assert criterion.class_factors.argmin() == 2


def test_batches_may_lie_in_the_same_memory() -> None:
    """A loop that reads each batch into the memory of the one before, logits of the size of the marks."""
    fresh, reused = (SelfTrainingLoss(3, 40, Recipe(rounds=(0.1,), num_images=8)) for _ in range(2))
    logits, memory, pixels = batch(0)
    memory, pixels = memory.clone(), pixels.clone()
    for step in range(8):
        logits, marks, image = batch(2 * step)
        logits = F.interpolate(logits.detach(), marks.shape[1:], mode="bilinear").requires_grad_()
        fresh(logits, marks, image)
        memory.copy_(marks), pixels.copy_(image)
        reused(logits, memory, pixels)
    assert fresh.rounds_done == 1 and torch.equal(fresh.class_factors, reused.class_factors)
    assert not torch.equal(fresh.class_factors, torch.ones(3))


def test_factors_go_back_as_the_network_learns_the_areas() -> None:
    """Predictions of the red class become half as probable: its factor grows."""
    criterion = SelfTrainingLoss(3, 1000, Recipe(num_images=1, rounds=(1e-3,)))
    image, marks, _ = scene(0)
    p = network(image[None]).softmax(1)

    def step(p: Tensor) -> None:
        criterion(p.log().requires_grad_(), marks[None], image[None])

    step(p), step(p)
    before = criterion.class_factors.clone()
    for _ in range(5):
        step(p)
    torch.testing.assert_close(criterion.class_factors, before, rtol=0.1, atol=0)  # nothing has changed
    mean = p.mean((0, 2, 3))
    more = p.clone()
    more[:, 2] = p[:, 2] * 0.5
    more = more / more.sum(1, keepdim=True)
    for _ in range(200):
        step(more)
    expected = before * mean / more.mean((0, 2, 3))
    torch.testing.assert_close(criterion.class_factors, expected, rtol=0.1, atol=0)
    assert criterion.class_factors[2] > 1.5 * before[2]


def test_factors_go_back_in_a_loss_that_was_cast_to_half_precision_too() -> None:
    """A model that holds the loss is resumed in bfloat16, as by a trainer with bf16-true."""
    criterion = SelfTrainingLoss(3, 100, Recipe(num_images=2, rounds=(0.01,)))
    run(criterion, 3)
    resumed = SelfTrainingLoss(3, 100, criterion.recipe).bfloat16()
    resumed.load_state_dict(criterion.state_dict())
    p = torch.tensor([0.4, 0.35, 0.25])[None, :, None, None]
    for _ in range(300):
        resumed._follow(p)
    torch.testing.assert_close(resumed.mean_probs.float(), p.flatten(), rtol=0, atol=1e-3)


def test_labels_teach_a_network() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(16, 3, 3, padding=1)
    )
    criterion = SelfTrainingLoss(3, 60, Recipe(num_images=8))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for step in range(60):
        _, marks, image = batch(2 * (step % 6))
        loss = criterion(net(image), marks, image)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    hits = [(net(scene(k)[0][None]).argmax(1)[0] == scene(k)[2]).float().mean() for k in range(40, 46)]
    assert torch.stack(hits).mean() > 0.95


def test_evaluation_is_the_cross_entropy_and_counts_nothing() -> None:
    criterion = SelfTrainingLoss(3, 6).eval()
    logits, marks, image = batch(0)
    marks = marks[:, ::2, ::2].contiguous()
    torch.testing.assert_close(criterion(logits, marks, image), F.cross_entropy(logits, marks, ignore_index=255))
    assert criterion.steps_done == 0


def test_a_copy_of_data_parallel_is_refused() -> None:
    """It would count the step, and be thrown away after it."""
    criterion = SelfTrainingLoss(3, 6)
    copy = criterion._replicate_for_data_parallel()
    with pytest.raises(RuntimeError, match=r"SelfTrainingLoss: must be called once in each step, got .* DataParallel"):
        copy(*batch(0))
    assert copy.eval()(*batch(0)) > 0 and criterion.steps_done == 0


def test_a_resumed_training_goes_on_alike() -> None:
    whole = SelfTrainingLoss(3, 12, Recipe(num_images=2))
    expected = run(whole, 12)
    cut = SelfTrainingLoss(3, 12, Recipe(num_images=2))
    assert run(cut, 5) == expected[:5]
    file = io.BytesIO()
    torch.save(cut.state_dict(), file)
    file.seek(0)
    again = SelfTrainingLoss(3, 12, Recipe(num_images=2))
    again.load_state_dict(torch.load(file, weights_only=True))
    assert run(again, 7, first=5) == expected[5:]
    with pytest.raises(ValueError, match="of a training of 12 steps, got total_steps 13"):
        SelfTrainingLoss(3, 13).load_state_dict(cut.state_dict())


def test_half_precision_and_8_bit_images() -> None:
    one, two = SelfTrainingLoss(3, 3), SelfTrainingLoss(3, 3)
    for step in range(3):
        logits, marks, image = batch(2 * step)
        half = logits.detach().bfloat16().requires_grad_()
        found = one(half, marks.to(torch.uint8), (image * 255).round().byte())
        found.backward()
        assert half.grad.dtype == torch.bfloat16 and found.dtype == torch.float32
        torch.testing.assert_close(found, two(logits, marks, image), rtol=0.05, atol=0.02)


def test_a_batch_without_marks_and_an_empty_one() -> None:
    criterion = SelfTrainingLoss(3, 4, Recipe(num_images=2))
    with pytest.warns(UserWarning, match="marks are 255, which is ignore_index, at every pixel of all .* of round 1"):
        for step in range(4):
            logits, marks, image = batch(2 * step)
            criterion(logits, torch.full_like(marks, 255), image).backward()
    assert criterion.rounds_done == 2
    empty = criterion(torch.zeros(0, 3, 8, 8, requires_grad=True), torch.zeros(0, 8, 8).long(), torch.zeros(0, 3, 8, 8))
    assert empty == 0 and empty.requires_grad
    assert criterion.steps_done == 5  # an empty batch is a step too


@pytest.mark.parametrize("ignore_index", [255, -1])
def test_marks_without_an_unmarked_pixel_are_reported(ignore_index: int) -> None:
    """Such as those of a tool that stores 0 where nothing was drawn."""
    criterion = SelfTrainingLoss(3, 3, Recipe(num_images=2, rounds=(0.3,)), ignore_index=ignore_index)
    logits, marks, image = batch(0)
    criterion(logits, marks.masked_fill(marks == 255, ignore_index), image)
    with pytest.warns(UserWarning, match=rf"every pixel is marked, \d+% with class 0: .* ignore_index {ignore_index}"):
        criterion(logits, marks.masked_fill(marks == 255, 0), image)


def test_labels_keep_the_marks_to_the_pixel() -> None:
    """Two classes in one square of 4 x 4 pixels: the filter sees the more frequent one, the label has both."""
    criterion = SelfTrainingLoss(3, 1, Recipe(filter_scale=0.25, num_images=1))
    marks = torch.full((1, 32, 32), 255)
    marks[0, 8, 8:11], marks[0, 10, 9] = 1, 2
    labels = criterion._labels(torch.zeros(1, 3, 32, 32), marks, torch.rand(1, 3, 32, 32), None)
    assert torch.equal(labels[marks != 255], marks[marks != 255])


def test_classes_that_are_absent_are_not_taught() -> None:
    """The red class is marked, but class_present says that it is not there."""
    criterion = SelfTrainingLoss(3, 3, Recipe(num_images=2))
    present = torch.tensor([[True, True, False]]).expand(2, 3)
    for step in range(3):
        logits, marks, image = batch(2 * step)
        marks = torch.where(marks == 2, 255, marks)
        loss = criterion(logits, marks, image, present)
        (gradient,) = torch.autograd.grad(loss, logits)
    assert criterion.rounds_done == 2 and (gradient[:, 2] >= 0).all()  # descent lowers its logits everywhere
    with pytest.raises(ValueError, match=r"SelfTrainingLoss: class_present must be \(N, C\) = \(2, 3\)"):
        criterion(logits, marks, image, present[:, :2])


def test_misuse_is_reported() -> None:
    criterion = SelfTrainingLoss(3, 2)
    logits, marks, image = batch(0)
    with torch.no_grad(), pytest.raises(ValueError, match=r"call criterion\.eval\(\) before validation"):
        criterion(logits, marks, image)
    run(criterion, 2)
    with pytest.warns(UserWarning, match="called more often than total_steps 2: count all epochs"):
        criterion(logits, marks, image)


def test_a_copy_is_independent_and_the_options_are_shown() -> None:
    criterion = SelfTrainingLoss(3, 6)
    twin = copy.deepcopy(criterion)
    run(twin, 2)
    assert criterion.steps_done == 0 and twin.steps_done == 2
    assert "num_classes=3, total_steps=6" in repr(criterion)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 10), "num_classes must be an integer >= 2"),
        ((3, 0), "total_steps must be an integer >= 1"),
        ((3, 10, None, 2), "ignore_index must not be a class, got 2 with 3 classes"),
    ],
)
def test_options_are_checked(arguments: tuple, message: str) -> None:
    *positional, ignore_index = (*arguments, 255)[:4] if len(arguments) == 4 else (*arguments, 255)
    with pytest.raises(ValueError, match=f"SelfTrainingLoss: {message}"):
        SelfTrainingLoss(*positional, ignore_index=ignore_index)


def test_errors_name_what_is_wrong() -> None:
    criterion = SelfTrainingLoss(3, 6)
    logits, marks, image = batch(0)
    with pytest.raises(ValueError, match="SelfTrainingLoss: logits must have 3 channels, got shape"):
        criterion(logits[:, :2], marks, image)
    with pytest.raises(ValueError, match=r"SelfTrainingLoss: image must be in \[0, 1\]"):
        criterion(logits, marks, image * 255)
    with pytest.raises(ValueError, match="SelfTrainingLoss: marks must hold classes in"):
        criterion(logits, torch.where(marks == 2, 7, marks), image)
    with pytest.raises(ValueError, match="SelfTrainingLoss: logits must be finite, got NaN"):
        criterion(logits * torch.nan, marks, image)


RANK = """
import sys
sys.path.insert(0, {tests!r})
import torch
import torch.distributed as dist
from helpers.scenes import network, scene
from helpers.two_processes import leave
from closedform_wsss.training import Recipe, SelfTrainingLoss
dist.init_process_group("gloo")
criterion = SelfTrainingLoss(3, 6, Recipe(num_images=4))
for step in range(6):
    image, marks, _ = scene(2 * step + dist.get_rank())
    assert criterion(network(image[None]).requires_grad_(), marks[None], image[None]).isfinite()
mine = torch.cat([criterion.fractions, criterion.class_factors])
every = [torch.empty_like(mine) for _ in range(2)]
dist.all_gather(every, mine)
assert criterion.rounds_done == 2 and torch.equal(*every)
if dist.get_rank() == 0:
    print(criterion.fractions.tolist())
leave()
"""


@pytest.mark.slow
def test_two_ranks_agree_with_one(tmp_path: Path) -> None:
    one = SelfTrainingLoss(3, 6, Recipe(num_images=4))
    run(one, 6)
    script = tmp_path / "rank.py"
    script.write_text(RANK.format(tests=str(Path(__file__).parents[1])))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.strip().splitlines()[-1]) == pytest.approx(one.fractions.tolist(), abs=0.01)


def test_a_state_of_more_rounds_than_the_recipe_has_is_refused() -> None:
    criterion = SelfTrainingLoss(3, 6, Recipe(num_images=4))
    run(criterion, 6)
    with pytest.raises(ValueError, match=r"the state is of a recipe with at least 2 rounds, got \(0.5,\)"):
        SelfTrainingLoss(3, 6, Recipe(rounds=(0.5,))).load_state_dict(criterion.state_dict())


def test_a_state_of_other_classes_is_refused() -> None:
    with pytest.raises(RuntimeError, match="size mismatch for class_factors"):
        SelfTrainingLoss(4, 6).load_state_dict(SelfTrainingLoss(3, 6).state_dict())


def test_the_first_step_is_on_the_marks_however_short_the_training() -> None:
    criterion = SelfTrainingLoss(3, 2)
    run(criterion, 1)
    assert criterion.rounds_done == 0
