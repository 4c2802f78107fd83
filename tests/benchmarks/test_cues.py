"""The benchmark of saliency and boundaries: which images count, and what each row gets."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from helpers import ROOT
from PIL import Image

from closedform_wsss.functional import refine_cam


@pytest.fixture
def cues(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from cams import cues

    return cues


def picture(cues: ModuleType, name: str):
    """A square that is darker than the rest, with a CAM that is high all over."""
    truth = np.zeros((40, 48), np.int64)
    truth[8:32, 12:36] = 1
    image = torch.from_numpy(np.where(truth > 0, 90, 130)).byte().expand(1, 3, -1, -1).contiguous()
    return cues.Picture(name, image, np.array([1]), torch.full((1, 1, 5, 6), 0.7), truth)


def write(folder: Path, name: str, truth: np.ndarray, *kinds: str) -> None:
    for kind in kinds:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray((255 * (truth > 0)).astype(np.uint8)).save(folder / kind / f"{name}.png")


def test_pictures_without_all_maps_are_left_out(cues: ModuleType, tmp_path: Path) -> None:
    pictures = [picture(cues, name) for name in "abc"]
    write(tmp_path, "a", pictures[0].truth, "saliency")
    write(tmp_path, "b", pictures[1].truth, "saliency", "boundaries")
    (found,) = cues.with_maps(pictures, tmp_path)
    assert found.name == "b" and set(found.cues) == {"saliency", "boundaries"}
    assert torch.equal(found.cues["saliency"][0, 0], torch.from_numpy(found.truth).float())


def test_images_of_both_sets_count_in_one(cues: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """VOC mini has no say in the weight of the saliency."""
    monkeypatch.setattr(cues, "read", lambda folder, limit: [picture(cues, name) for name in "abc"])
    (tmp_path / "voc_mini" / "images").mkdir(parents=True)
    (tmp_path / "voc_mini" / "images" / "b.jpg").touch()
    assert [one.name for one in cues.pictures_of(tmp_path, "voc_scribbles/val")] == ["a", "c"]
    assert [one.name for one in cues.pictures_of(tmp_path, "voc_mini")] == ["a", "b", "c"]


def test_without_maps_nothing_is_written(cues: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cues, "read", lambda folder, limit: [picture(cues, "a")])
    monkeypatch.setattr(cues, "write_json", lambda *_: pytest.fail("the stored table is replaced by nothing"))
    monkeypatch.setattr("sys.argv", ["cues", str(tmp_path), str(tmp_path / "maps")])
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit, match="maps holds no maps of the images of voc_scribbles/val, voc_mini, ecssd"):
        cues.main()
    torch.set_num_threads(threads)


def test_rows(cues: ModuleType, tmp_path: Path) -> None:
    pictures = [picture(cues, name) for name in "ab"]
    for one in pictures:
        write(tmp_path, one.name, one.truth, "saliency", "boundaries")
    with_maps = cues.with_maps(pictures, tmp_path)
    found = {}
    for row, (method, names) in cues.ROWS.items():
        own = [cues.replace(one, cues={name: one.cues[name] for name in names}) for one in with_maps]
        found[row] = cues.measure(method, own, 2, set())
    scores = {row: value["all"]["cross"] for row, value in found.items()}
    assert scores["full, saliency"] > 0.95 > scores["raw"] + 0.4
    assert scores["saliency for every class"] == 1.0
    assert "| full, saliency |" in cues.text_of(found)


def test_other_odds_are_put_back(cues: ModuleType) -> None:
    image, cam, saliency = torch.rand(1, 3, 40, 48), torch.rand(1, 1, 5, 6), torch.rand(1, 1, 40, 48)
    before = refine_cam(cam, image, saliency=saliency)
    assert not torch.equal(cues.with_odds(image, cam, odds=0.0, saliency=saliency), before)
    assert torch.equal(refine_cam(cam, image, saliency=saliency), before)
    torch.testing.assert_close(cues.with_odds(image, cam, odds=2.0, saliency=saliency), before)
