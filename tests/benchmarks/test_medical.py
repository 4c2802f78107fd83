"""The arithmetic of the benchmarks of grey images and of settings: Dice of patients, baselines, and what is chosen."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import ROOT

CLASSES = 4


@pytest.fixture(autouse=True)
def _path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))


def slice_of(size: tuple[int, int] = (20, 24), classes: tuple[int, ...] = (0, 1, 3)) -> SimpleNamespace:
    marks = torch.full((1, *size), 255)
    for number, label in enumerate(classes):
        marks[0, 3 + 5 * number, 2:9] = label
    image = torch.randint(0, 256, (1, 1, *size), dtype=torch.uint8)
    return SimpleNamespace(name="patient001_a", image=image, marks=marks, label=torch.zeros(size, dtype=torch.long))


def test_dice_is_over_all_slices_of_a_patient() -> None:
    from common.dice import PatientDice

    dice, kept = PatientDice(CLASSES), {}
    for slice_ in range(7):
        patient = f"patient{slice_ % 3:03d}"
        found, label = (torch.randint(0, CLASSES, (5, 6)) for _ in range(2))
        if patient == "patient000":  # has no class 3
            found, label = found.clamp_max(2), label.clamp_max(2)
        dice.add(f"{patient}_frame01_slice_{slice_}", found, label)
        kept.setdefault(patient, []).append((found, label))
    expected = {}
    for patient, pairs in kept.items():
        a, b = (torch.cat([pair[k].flatten() for pair in pairs]) for k in range(2))
        for c in range(1, CLASSES):
            if (a == c).any() or (b == c).any():
                expected[patient, c] = float(2 * ((a == c) & (b == c)).sum() / ((a == c).sum() + (b == c).sum()))
    assert dice.mean() == pytest.approx(np.mean(list(expected.values())))
    of_organs = [np.mean([value for (_, c), value in expected.items() if c == organ]) for organ in (1, 2, 3)]
    assert dice.of_organs() == pytest.approx(of_organs)


def test_nearest_mark_is_that_of_a_loop() -> None:
    from medical.methods import nearest

    item = slice_of()
    marked = np.argwhere(item.marks[0].numpy() != 255)
    found = nearest(item).numpy()
    for place in np.ndindex(found.shape):
        distance = ((marked - place) ** 2).sum(1)
        classes = {int(item.marks[0, i, j]) for i, j in marked[distance == distance.min()]}
        assert found[place] in classes


@pytest.mark.parametrize("classes", [(0,), (2,), (0, 3), (0, 1, 3)])
def test_random_walker_keeps_the_marks_and_their_numbers(classes: tuple[int, ...]) -> None:
    from medical.methods import walker

    item = slice_of(classes=classes)
    found = walker(item, beta=130)
    assert torch.equal(found[item.marks[0] != 255], item.marks[0][item.marks[0] != 255])
    assert set(found.unique().tolist()) == set(classes)


def test_a_method_that_changes_nothing() -> None:
    """The network's row is the filter with so much fidelity that it returns what it got."""
    from medical.medical import METHODS

    item, p = slice_of(), torch.rand(1, CLASSES, 16, 16).softmax(1)
    resized = torch.nn.functional.interpolate(p, (20, 24), mode="bilinear", align_corners=False)
    assert (METHODS["network"](item, p) == resized.argmax(1)[0]).float().mean() > 0.97


def test_patients_that_choose_the_settings(tmp_path) -> None:
    from medical.slices import files

    (tmp_path / "images").mkdir()
    for patient in range(1, 22):
        (tmp_path / "images" / f"patient{patient:03d}_frame01_slice_0.jpg").touch()
    chosen = [path.stem[7:10] for path in files(tmp_path, tuning=True)]
    assert chosen == ["007", "014", "021"] and len(files(tmp_path, tuning=False)) == 18 and len(files(tmp_path)) == 21


def test_the_best_of_the_other_sets_has_not_seen_the_set() -> None:
    from settings.table import _compared, best

    rows = {
        name: {"default": 0.5, "advice": 0.6, "sweep": [{"eps": 1e-7, "score": a}, {"eps": 1e-3, "score": b}]}
        for name, a, b in (("x", 0.9, 0.1), ("y", 0.2, 0.8), ("z", 0.3, 0.7))
    }
    assert best(rows, ["y", "z"]) == 1 and best(rows, ["x"]) == 0
    assert _compared(rows).splitlines()[2] == "| x | 0.5000 | 0.6000 | 0.1000 | 0.9000 | eps 0.001 | eps 1e-07 |"


MACHINE = {"cpu": "one", "threads": 1, "packages": {}, "build": {"version": "1"}, "commit": "abc", "date": "today"}


@pytest.mark.parametrize(
    ("machine", "inputs", "same"),
    [
        (MACHINE | {"date": "tomorrow"}, ["a"], True),
        (MACHINE | {"commit": "def"}, ["a"], False),
        (MACHINE | {"threads": 2}, ["a"], False),
        (MACHINE, ["a", "b"], False),
    ],
)
def test_kept_values_are_of_the_same_version_and_inputs(tmp_path, capsys, machine, inputs, same) -> None:
    from common.kept import Kept

    file = tmp_path / "work" / "kept.json"
    assert Kept(file, MACHINE, ["a"]).get("key", lambda: 1) == 1
    assert Kept(file, machine, inputs).get("key", lambda: 2) == (1 if same else 2)
    assert ("kept.json is of another version" in capsys.readouterr().err) is not same
    assert [path.name for path in file.parent.iterdir()] == ["kept.json"]


def test_values_of_a_version_that_kept_no_inputs_are_dropped(tmp_path) -> None:
    from common.kept import Kept

    (tmp_path / "kept.json").write_text('{"key": 1}')
    assert Kept(tmp_path / "kept.json", MACHINE, []).get("key", lambda: 2) == 2


def test_scores_of_other_networks_are_dropped(tmp_path) -> None:
    from settings.sets import SETS
    from settings.settings import inputs

    for chosen in SETS:
        (tmp_path / chosen.folder / "images").mkdir(parents=True)
        for k in range(chosen.every + 1):
            (tmp_path / chosen.folder / "images" / f"{k:02d}.jpg").touch()
    (tmp_path / "acdc.pt").write_bytes(b"one")
    before = inputs(tmp_path, tmp_path)
    assert before["images"]["ecssd"] == ["00", "08"] and before == inputs(tmp_path, tmp_path)
    (tmp_path / "acdc.pt").write_bytes(b"other")
    assert inputs(tmp_path, tmp_path) != before
