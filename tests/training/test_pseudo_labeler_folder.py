"""The folder of PseudoLabeler: rounds that are due, resumed, cut, of several ranks, or of another training."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from helpers.scenes import accuracy, network, samples
from torch import Tensor

from closedform_wsss.training import PseudoLabeler, Recipe, label_round


def test_a_restart_goes_on(tmp_path: Path) -> None:
    first = PseudoLabeler(tmp_path, 3)
    first.update(network, samples())
    again = PseudoLabeler(tmp_path, 3)
    assert again.round == 1 and torch.equal(again.class_weight, first.class_weight)
    assert torch.equal(again["folder/2"], first["folder/2"])
    with pytest.raises(ValueError, match="holds labels of 3 classes, got num_classes 4: pass another folder"):
        PseudoLabeler(tmp_path, 4)


def due_epochs(labeler: PseudoLabeler, epochs: int) -> list[int]:
    found = []
    for epoch in range(epochs):
        if labeler.due(epoch, epochs):
            found.append(epoch)
            labeler.update(network, samples(1))
    return found


def test_when_rounds_are_due(tmp_path: Path) -> None:
    assert due_epochs(PseudoLabeler(tmp_path / "1", 3), 60) == [20, 30]
    assert due_epochs(PseudoLabeler(tmp_path / "2", 3), 3) == [1]
    late = PseudoLabeler(tmp_path / "3", 3, Recipe(rounds=(0.5, 0.75, 0.9)))
    assert due_epochs(late, 20) == [10, 15, 18]


def test_a_round_is_made_again_where_the_training_was_cut_after_it(tmp_path: Path) -> None:
    first = PseudoLabeler(tmp_path, 3)
    assert first.due(4, 12) and first.update(network, samples(1)).round == 1
    again = PseudoLabeler(tmp_path, 3)
    assert again.due(4, 12) and again.update(network, samples(1)).round == 1
    assert again.due(6, 12) and again.update(network, samples(1)).round == 2


def test_a_folder_of_another_time_is_noticed(tmp_path: Path) -> None:
    labeler = PseudoLabeler(tmp_path, 3)
    with pytest.raises(ValueError, match=r"holds round 0 at epoch 5 of 12, where 1 rounds were made: pass the folder"):
        labeler.due(5, 12)
    due_epochs(labeler, 12)
    with pytest.warns(UserWarning, match="holds round 2, which is made after epoch 5 of 12"):
        assert not labeler.due(5, 12)
    with pytest.warns(UserWarning, match="holds round 2, which is made after epoch 4 of 12"):
        assert labeler.due(4, 12)
    with pytest.raises(ValueError, match="labels of an earlier training"):
        labeler.due(0, 12)


def test_another_training_in_the_same_folder_is_noticed(tmp_path: Path) -> None:
    """A job that was submitted twice: the second would learn from the labels of the first, and put its own there."""
    one, two = PseudoLabeler(tmp_path, 3), PseudoLabeler(tmp_path, 3)
    assert one.due(4, 12) and two.due(4, 12)
    one.update(network, samples(1))
    message = "must hold round 0, the last one of this training, got 1: if another training uses this folder, pass each"
    with pytest.raises(ValueError, match=message):
        two.update(network, samples(1))
    with pytest.raises(ValueError, match=message):
        two.due(5, 12)
    assert not one.due(5, 12) and one.due(6, 12)


RANK = """
import sys
sys.path.insert(0, {tests!r})
import torch.distributed as dist
from helpers.two_processes import leave
from training.test_pseudo_labeler import network, samples
from closedform_wsss.training import PseudoLabeler, Recipe
dist.init_process_group("gloo")
labeler = PseudoLabeler({folder!r}, 3, Recipe(num_pixels=20_000))
report = labeler.update(network, samples()[dist.get_rank() :: 2])
assert all(f"folder/{{k}}" in labeler for k in range(6))
if dist.get_rank() == 0:
    print(report.labels.tolist())
leave()
"""


@pytest.mark.slow
def test_two_ranks_make_the_labels_of_one(tmp_path: Path) -> None:
    one = PseudoLabeler(tmp_path / "one", 3, Recipe(num_pixels=20_000))
    report = one.update(network, samples())
    script = tmp_path / "rank.py"
    script.write_text(RANK.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path / "two")))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        command, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.strip().splitlines()[-1]) == pytest.approx(report.labels.tolist(), abs=5e-3)
    two = PseudoLabeler(tmp_path / "two", 3)
    assert two.round == 1 and accuracy(two) > 0.97


def test_no_sample_in_any_rank(tmp_path: Path) -> None:
    """One rank alone may have none."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        with pytest.raises(ValueError, match="samples must hold at least one sample, got none"):
            PseudoLabeler(tmp_path, 3).update(network, [])
    finally:
        dist.destroy_process_group()


def test_labels_of_samples_that_left_are_removed(tmp_path: Path) -> None:
    labeler = PseudoLabeler(tmp_path, 3)
    labeler.update(network, samples(3))
    labeler.update(network, samples(2))
    assert "folder/1" in labeler and "folder/2" not in labeler
    with pytest.raises(KeyError, match="no label of 'folder/2'"):
        labeler.get("folder/2", samples(3)[2][2])


def broken_off(count: int) -> Iterator[tuple[str, Tensor, Tensor]]:
    yield from samples(count)
    raise RuntimeError("no such file")


@pytest.mark.parametrize("before", [0, 1])
def test_a_round_that_is_cut_changes_no_label(before: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the samples end in an error, and where the process is killed among the labels."""
    labeler, marks = PseudoLabeler(tmp_path, 3), samples(1)[0][2]
    for _ in range(before):
        labeler.update(network, samples(2))
    labels = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    with pytest.raises(RuntimeError, match="no such file"):
        labeler.update(network, broken_off(1))
    assert not list(tmp_path.glob("**/store-*"))

    def killed(self: label_round.LabelRound, key: str, label: Tensor, save=label_round.LabelRound._save_label):
        save(self, key, torch.where(label == 255, label, 2 - label))
        if key == "folder/1":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(label_round.LabelRound, "_save_label", killed)
        labeler.update(network, samples(2))
    again = PseudoLabeler(tmp_path, 3)
    assert again.round == before and {path: path.read_bytes() for path in tmp_path.glob("labels/**/*.png")} == labels
    assert torch.equal(again.get("folder/0", marks), again["folder/0"] if before else marks)
    again.update(network, samples(1))
    assert [path.name for path in tmp_path.rglob("*.png")] == ["0.png"] and again.round == before + 1


def test_a_round_that_is_cut_while_its_labels_take_their_place_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed between the two renames, so that there are no labels."""
    labeler = PseudoLabeler(tmp_path, 3)
    labeler.update(network, samples(1))

    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(label_round, "finish_cut_round", killed)
        labeler.update(network, samples(2))
    assert not (tmp_path / "labels").exists()
    again = PseudoLabeler(tmp_path, 3)
    assert again.round == 2 and "folder/1" in again
    again.update(network, samples(1))
    assert [path.name for path in tmp_path.rglob("*.png")] == ["0.png"] and again.round == 3


def test_other_folders_beside_the_labels_stay_and_what_cut_rounds_left_goes(tmp_path: Path) -> None:
    """The root of an experiment, say, with folders of plain names; a round was killed that had more ranks."""
    names = ("new", "old", "store-0")
    for name in (*names, ".round/store-3", ".round/old"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "notes.txt").write_text("mine")
    labeler = PseudoLabeler(tmp_path, 3)
    for _ in range(2):
        labeler.update(network, samples(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels", *names]
    assert all((tmp_path / name / "notes.txt").read_text() == "mine" for name in names)


def test_labels_of_something_else_are_not_replaced(tmp_path: Path) -> None:
    """The root of a data set, say, whose masks lie in labels/."""
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "0.png").touch()
    with pytest.raises(ValueError, match="holds a folder labels that no PseudoLabeler made"):
        PseudoLabeler(tmp_path, 3)
