"""CAM files that hold maps alone, and those of ``torch.save``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from closedform_wsss.io import read_cam, write_cam

MAPS = np.random.default_rng(0).random((2, 9, 14)).astype(np.float32)


def saved(path: Path, item: object) -> Path:
    np.save(path, item) if path.suffix == ".npy" else torch.save(item, path)
    return path


@pytest.mark.parametrize(
    "maps",
    [MAPS, MAPS[None], MAPS[:, None], MAPS.astype(np.float16), MAPS.astype(">f8"), np.asfortranarray(MAPS)],
    ids=["maps", "batch of one", "one channel each", "half", "big endian", "Fortran"],
)
def test_arrays(tmp_path: Path, maps: np.ndarray) -> None:
    classes, got = read_cam(saved(tmp_path / "a.npy", maps), [15, 1])
    assert classes.tolist() == [15, 1] and got.dtype == torch.float32 and got.is_contiguous()
    np.testing.assert_array_equal(got, maps.reshape(MAPS.shape).astype(np.float32))


@pytest.mark.parametrize(
    "item",
    [
        torch.tensor(MAPS),
        torch.tensor(MAPS).half(),
        [torch.tensor(m) for m in MAPS],
        torch.nn.Parameter(torch.tensor(MAPS)),
    ],
    ids=["tensor", "half", "list", "parameter"],
)
def test_tensors(tmp_path: Path, item: object) -> None:
    classes, got = read_cam(saved(tmp_path / "a.pt", item), [3, 7])
    assert classes.tolist() == [3, 7] and not got.requires_grad
    np.testing.assert_allclose(got, MAPS, atol=1e-3)


def test_a_list_of_bfloat16_with_gradients(tmp_path: Path) -> None:
    maps = [torch.tensor(m, requires_grad=True).bfloat16() for m in MAPS]
    _, got = read_cam(saved(tmp_path / "a.pt", maps), [3, 7])
    assert torch.equal(got, torch.stack(maps).float()) and not got.requires_grad


def test_one_map(tmp_path: Path) -> None:
    """As pytorch-grad-cam gives it for one target."""
    for path, item in ((tmp_path / "a.npy", MAPS[0]), (tmp_path / "b.pt", torch.tensor(MAPS[0]))):
        classes, got = read_cam(saved(path, item), [8])
        assert classes.tolist() == [8] and got.shape == (1, 9, 14)


def test_dictionaries_of_torch(tmp_path: Path) -> None:
    maps = torch.tensor(MAPS)
    for item in ({"keys": torch.tensor([0, 14]), "cam": maps}, {0: maps[0], 14: maps[1]}):
        classes, got = read_cam(saved(tmp_path / "a.pth", item))
        assert classes.tolist() == [1, 15] and torch.equal(got, maps)


def test_classes_choose_from_a_file_that_names_them(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", {n: MAPS[n % 2] * (n + 1) / 20 for n in range(20)})
    classes, got = read_cam(path, (15, 2))
    assert classes.tolist() == [15, 2]
    np.testing.assert_allclose(got, [MAPS[0] * 15 / 20, MAPS[1] * 2 / 20], rtol=1e-6)
    assert [len(part) for part in read_cam(path, ())] == [0, 0]
    with pytest.raises(ValueError, match=r"no map of class 21 among \[1, 2"):
        read_cam(path, (21,))


@pytest.mark.parametrize("alone", [True, False])
def test_classes_of_every_type(alone: bool, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", MAPS if alone else {0: MAPS[0], 14: MAPS[1]})
    for classes in ([1, 15], torch.tensor([1, 15]), np.array([1, 15], np.uint8), (np.int64(1), np.int32(15))):
        found, got = read_cam(path, classes)
        assert found.tolist() == [1, 15] and torch.equal(got, torch.from_numpy(MAPS))
    assert read_cam(path, read_cam(path, [1, 15])[0])[0].tolist() == [1, 15]


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("classes", [15, "15", ["dog"], [1.0, 15.0], [True], [[1, 15]], [[1], [2, 3]], [None], {1, 15}])
def test_wrong_classes_are_not_blamed_on_the_file(classes: Any, alone: bool, tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", MAPS if alone else {0: MAPS[0], 14: MAPS[1]})
    with pytest.raises((TypeError, ValueError), match=r"^read_cam: classes must be integers.*, got"):
        read_cam(path, classes)
    with pytest.raises((TypeError, ValueError), match=r"^write_cam: classes must be integers.*, got"):
        write_cam(tmp_path / "b.npy", classes, MAPS)
    for wrong in ([0, 1], [1, 1]):
        with pytest.raises(ValueError, match=r"^read_cam: classes must be ids in .* got a class"):
            read_cam(path, wrong)


def test_mistakes(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.npy", MAPS)
    with pytest.raises(ValueError, match=r"shape \(2, 9, 14\), which names no classes: pass classes"):
        read_cam(path)
    with pytest.raises(ValueError, match=r"2 maps for 3 classes, \[1, 2, 3\]: it must hold a map of each"):
        read_cam(path, [1, 2, 3])
    with pytest.raises(ValueError, match="a class twice"):
        read_cam(path, [1, 1])
    with pytest.raises(ValueError, match="a class below the first, 0"):
        read_cam(path, [0, 1])
    with pytest.raises(ValueError, match="NaN values"):
        read_cam(saved(tmp_path / "nan.pt", torch.full((1, 2, 2), torch.nan)), [1])
    with pytest.raises(ValueError, match="maps of type uint8"):
        read_cam(saved(tmp_path / "bytes.npy", np.zeros((1, 2, 2), np.uint8)), [1])
    with pytest.raises(ValueError, match="more than tensors and containers"):
        read_cam(saved(tmp_path / "model.pt", torch.nn.Linear(2, 2)), [1])


def test_files_cannot_take_more_memory_than_they_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    header = {"descr": "<f4", "fortran_order": False, "shape": (1, 1 << 15, 1 << 15)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ValueError, match=r"shape \(1, 32768, 32768\) and type float32 in \d+ bytes"):
        read_cam(path, [1])
    stored, packed = tmp_path / "b.pt", tmp_path / "c.pt"
    torch.save(torch.zeros(1, 500, 500), stored)
    with zipfile.ZipFile(stored) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
        for info in source.infolist():
            target.writestr(info.filename, source.read(info))
    with pytest.raises(ValueError, match="a compressed file of torch"):
        read_cam(packed, [1])
    path.write_bytes(stored.read_bytes()[:-4000])
    with pytest.raises(ValueError, match=r"a damaged file|more than tensors"):
        read_cam(path, [1])


def test_archives_of_maps_of_tags(tmp_path: Path) -> None:
    """Without classes in it, an archive holds maps of the classes of the call, if those from 1 on do not fit."""
    path = tmp_path / "a.npz"
    np.savez(path, cams=MAPS)
    for given in ([1, 15], [15, 1]):
        classes, got = read_cam(path, given)
        assert classes.tolist() == given
        np.testing.assert_array_equal(got, MAPS)
    classes, got = read_cam(path, [2])  # of 1 and 2
    assert classes.tolist() == [2]
    np.testing.assert_array_equal(got, MAPS[1:])
    with pytest.raises(ValueError, match=r"2 maps for 3 classes, \[1, 7, 8\]: it must hold a map of each"):
        read_cam(path, [1, 7, 8])
    with pytest.raises(ValueError, match=r"2 maps for 1 classes, \[15\]: it must hold a map of each"):
        read_cam(path, [15])
