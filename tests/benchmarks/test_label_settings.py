"""The benchmark of the settings of pseudo-labels: which values it chooses, and what its labels are."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers import ROOT
from PIL import Image

from closedform_wsss.training import resolution


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from training import label_settings

    return label_settings


def test_values_are_chosen_on_the_other_sets(settings: ModuleType) -> None:
    """By the mean over sets, each the mean over its marks: street's two kinds of marks do not count twice."""
    every = [settings.text(changed) for changed in settings.single_changes()]
    cases = [("street", "scribbles"), ("street", "points"), ("photo", "scribbles"), ("organ", "scribbles")]
    scores = {case: dict.fromkeys(every, 0.5) for case in cases}
    scores["street", "scribbles"]["repeats 0"] = scores["street", "points"]["repeats 0"] = 0.6
    scores["organ", "scribbles"]["repeats 0"] = 0.35
    scores["street", "scribbles"]["repeats 4"], scores["street", "points"]["repeats 4"] = 0.7, 0.25
    scores["photo", "scribbles"]["fidelity 0.1"] = 0.9
    assert settings.chosen_elsewhere(scores, "photo") == {}
    assert settings.chosen_elsewhere(scores, "street") == {"fidelity": 0.1}
    assert settings.chosen_elsewhere(scores, "organ") == {"fidelity": 0.1, "repeats": 0}
    left_out = {name: settings.chosen_elsewhere(scores, name) for name in ("street", "photo", "organ")}
    for case in cases:
        scores[case][settings.text(left_out[case[0]])] = 0.25
    scores["photo", "scribbles"]["default"] = 0.5
    page = settings.markdown(scores, left_out, 80, [0])
    assert "| organ, scribbles | 0.500 | 0.250 | fidelity 0.1, repeats 0 | 0.500 | default |" in page
    assert "| photo, scribbles | 0.500 | 0.500 | default | 0.900 | fidelity 0.1 |" in page


def test_every_change_has_a_name(settings: ModuleType) -> None:
    names = [settings.text(changed) for changed in settings.single_changes()]
    assert len(names) == len(set(names)) == 1 + sum(len(values) - 1 for values in settings.SETTINGS.values())
    assert names[0] == "default" and "filter_scale 0.125" in names and "REACH 16" in names and "EPS 1e-07" in names


def test_labels_of_a_setting(settings: ModuleType, tmp_path: Path) -> None:
    """The network takes light for class 1, and one pixel in eight wrongly; the filter puts them right."""
    rng = np.random.default_rng(0)
    for name in ("images", "labels", "scribbles"):
        (tmp_path / "made" / "train" / name).mkdir(parents=True)
    for k in range(3):
        label = np.zeros((40, 48), np.uint8)
        label[:, 20 + k :] = 1
        marks = np.full_like(label, 255)
        marks[10:30, 4:6], marks[10:30, 40:42] = 0, 1
        image = np.where(label, 200, 40).astype(np.uint8)[..., None].repeat(3, 2)
        for folder, array in (("images", image), ("labels", label), ("scribbles", marks)):
            Image.fromarray(array).save(tmp_path / "made" / "train" / folder / f"{k}.png")
    wrong = torch.from_numpy(rng.random((40, 48)) < 1 / 8)

    def model(image: torch.Tensor) -> torch.Tensor:
        light = (image.mean(1) > 0.5) ^ wrong
        return torch.stack([~light, light], 1).float() * 3

    spec = settings.DataSet("made", "Made", "made", 2, (40, 48), 3, ("scribbles",))
    labels = settings.Labels(tmp_path, spec, "scribbles", model, 2)
    assert list(labels.chosen) == [0, 1]
    single = {"prediction_scales": (1.0,), "filter_scale": 1.0, "repeats": 0}
    refined, hardly = (labels.mean_iou({**single, "fidelity": fidelity}) for fidelity in (0.03, 1e4))
    assert refined > 0.99 and 0.7 < hardly < 0.85
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels, "predicted", lambda *_: seen.append(resolution.REACH) or torch.full((2, 40, 48), 0.5))
        labels.mean_iou({"REACH": 16})
    assert seen == [16, 16] and resolution.REACH == 8
