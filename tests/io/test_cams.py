"""CAM files: what the projects write is read, what is written they can read, and no pickle runs code."""

from __future__ import annotations

import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from closedform_wsss.io import CAM_FORMATS, read_cam, write_cam
from closedform_wsss.io._maps.cams import load_cam

MAPS = np.random.default_rng(0).random((2, 9, 14)).astype(np.float32)
CLASSES = [15, 1]


def save(path: Path, item: Any) -> Path:
    np.save(path, item, allow_pickle=True)
    return path


def save_pickle(path: Path, pickled: bytes, shape: tuple[int, ...] = ()) -> Path:
    """A .npy file of dtype object with any pickle in it."""
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": shape})
    path.write_bytes(file.getvalue() + pickled)
    return path


def boxed(item: Any) -> np.ndarray:
    array = np.empty((), object)
    array[()] = item
    return array


# --- reading


@pytest.mark.parametrize("key", [int, np.int64, np.uint8])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_eps_and_l2g_dictionaries(tmp_path: Path, key: type, dtype: type) -> None:
    path = save(tmp_path / "a.npy", {key(14): MAPS[0].astype(dtype), key(0): MAPS[1].astype(dtype)})
    classes, maps = read_cam(path)
    assert classes.dtype == torch.int64 and classes.tolist() == CLASSES
    assert maps.dtype == torch.float32
    np.testing.assert_array_equal(maps, MAPS.astype(dtype).astype(np.float32))
    assert load_cam(path)[0] == "eps"


@pytest.mark.parametrize("tensor", [torch.as_tensor, lambda x: torch.as_tensor(np.array(x)).clone(), np.array])
def test_irn_and_recam_dictionaries_prefer_high_resolution(tmp_path: Path, tensor: Any) -> None:
    item = {"keys": tensor([14, 0]), "cam": tensor(MAPS[:, ::4, ::4].copy()), "high_res": MAPS}
    classes, maps = read_cam(save(tmp_path / "a.npy", item))
    assert classes.tolist() == CLASSES
    np.testing.assert_array_equal(maps, MAPS)
    for without in ({"keys": item["keys"], "cam": item["cam"]}, {**item, "high_res": None}):
        path = save(tmp_path / "b.npy", without)
        np.testing.assert_array_equal(read_cam(path)[1], MAPS[:, ::4, ::4])
        assert load_cam(path)[0] == "irn"


@pytest.mark.parametrize(
    "cam",
    [
        torch.from_numpy(MAPS).half(),
        torch.from_numpy(MAPS).bfloat16(),
        torch.from_numpy(MAPS).double().requires_grad_(),
        torch.from_numpy(MAPS).permute(0, 2, 1)[:, 1:, ::2],
    ],
    ids=["half", "bfloat16", "with gradient", "strided"],
)
def test_pickled_tensors_of_any_kind(tmp_path: Path, cam: torch.Tensor) -> None:
    _, maps = read_cam(save(tmp_path / "a.npy", {"keys": torch.tensor([14, 0]), "cam": cam}))
    np.testing.assert_array_equal(maps, cam.detach().float().numpy())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickle_protocols(tmp_path: Path, protocol: int) -> None:
    item = boxed({"keys": torch.tensor([14, 0]), "high_res": MAPS, "note": np.float32(1)})
    classes, maps = read_cam(save_pickle(tmp_path / "a.npy", pickle.dumps(item, protocol)))
    assert classes.tolist() == CLASSES
    np.testing.assert_array_equal(maps, MAPS)


@pytest.mark.parametrize("core", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_files_of_numpy_1_and_2(tmp_path: Path, core: bytes) -> None:
    pickled = pickle.dumps(boxed({np.int64(14): MAPS[0], np.int64(0): MAPS[1]}), protocol=2)
    for name in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        pickled = pickled.replace(b"c" + name, b"c" + core)
    assert b"c" + core in pickled
    classes, maps = read_cam(save_pickle(tmp_path / "a.npy", pickled))
    assert classes.tolist() == CLASSES
    np.testing.assert_array_equal(maps, MAPS)


def test_npz_with_and_without_classes(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", cams=MAPS.astype(np.float16), classes=np.array(CLASSES, np.uint8))
    classes, maps = read_cam(tmp_path / "a.npz")
    assert classes.dtype == torch.int64 and classes.tolist() == CLASSES
    assert maps.dtype == torch.float32
    np.testing.assert_array_equal(maps, MAPS.astype(np.float16).astype(np.float32))
    np.savez_compressed(tmp_path / "b.npz", cams=MAPS)
    assert read_cam(tmp_path / "b.npz")[0].tolist() == [1, 2]
    # The content counts, not the name.
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    assert load_cam(tmp_path / "b.npy")[0] == "npz"


def test_images_without_classes(tmp_path: Path) -> None:
    empty = torch.zeros(0, dtype=torch.int64)
    cases: list[tuple[Any, tuple[int, ...]]] = [
        ({}, (0, 0, 0)),
        ({"keys": empty}, (0, 0, 0)),
        ({"keys": np.array([]), "cam": [], "high_res": []}, (0, 0, 0)),
        ({"keys": empty, "cam": torch.zeros(3, 4), "high_res": np.zeros((9, 14), np.float32)}, (0, 9, 14)),
        ({"keys": np.array([0]), "cam": torch.zeros(0, 3, 4), "hr_cam": np.zeros((0, 9, 14))}, (0, 9, 14)),
        ({"keys": empty, "cam": torch.zeros(0, 3, 4), "high_res": np.zeros((0, 9, 14))}, (0, 9, 14)),
    ]
    for item, shape in cases:
        classes, maps = read_cam(save(tmp_path / "a.npy", item))
        assert classes.shape == (0,) and classes.dtype == torch.int64
        assert maps.shape == shape and maps.dtype == torch.float32
    np.savez(tmp_path / "a.npz", cams=np.zeros((0, 5, 6), np.float16), classes=np.zeros(0))
    assert read_cam(tmp_path / "a.npz")[1].shape == (0, 5, 6)


# --- pickles that are not data


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class Builtin:
    def __reduce__(self) -> tuple[Any, ...]:
        return eval, ("1 + 1",)


class InStorage:
    """What torch would load with a pickle of its own inside the pickle."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __reduce__(self) -> tuple[Any, ...]:
        return torch.storage._load_from_bytes, (self.data,)


class Encoded:
    def __reduce__(self) -> tuple[Any, ...]:
        import _codecs

        return _codecs.encode, ("text", "rot13")


def test_pickles_run_no_code(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    inner = BytesIO()
    torch.save(Evil(trace), inner)
    cases = [(Evil(trace), "touch"), (Builtin(), "eval"), (Encoded(), "rot13"), (InStorage(inner.getvalue()), "tensor")]
    for evil, name in cases:
        for item in (evil, boxed(evil), boxed({0: evil})):
            path = save_pickle(tmp_path / "evil.npy", pickle.dumps(item))
            with pytest.raises(ValueError, match=f"read_cam: path must hold .*{name}.*evil.npy"):
                read_cam(path)
            assert not trace.exists()
    # The same file does run with NumPy's own loader: the test would see it.
    save_pickle(path, pickle.dumps(boxed({0: Evil(trace)})))
    np.load(path, allow_pickle=True)
    assert trace.exists()


# --- files that are something else


def test_errors_say_what_the_file_holds(tmp_path: Path) -> None:
    nan, infinite = MAPS.copy(), MAPS.copy()
    nan[1, 2, 3], infinite[0, 0, 0] = np.nan, np.inf
    cases: list[tuple[Any, str]] = [
        (MAPS, r"an array of shape \(2, 9, 14\)"),
        (np.array([{}, {}], object), "objects in place of one dictionary"),
        ([1, 2], "an array of shape"),
        (boxed("text"), "a pickled str"),
        ({"cams": MAPS, "other": 1}, "a dictionary of 'cams', 'other'"),
        ({"cam": MAPS, "hr_cam": MAPS}, "a dictionary of 'cam', 'hr_cam', without 'keys' that name classes"),
        ({0: MAPS[0], "threshold": 0.3}, "a dictionary of 'threshold', 0"),
        ({"keys": [0, 2, 0], "hr_cam": MAPS}, "a class below the first, 0"),
        ({"keys": [3, 2, 1], "hr_cam": MAPS}, r"classes of shape \(3,\)"),
        ({"keys": [0], "hr_cam": MAPS}, r"classes of shape \(1,\)"),
        (
            {"keys": [0, 15, 1], "IS_CAM": MAPS},
            r"'IS_CAM' without a background, 0, first: .* 2 maps",
        ),
        ({"keys": [14, 0], "IS_CAM": MAPS}, "'IS_CAM' without a background"),
        ({"keys": np.zeros(0, int), "cam": MAPS[0]}, r"classes of shape \(0,\)"),
        ({"keys": [0, 1]}, "'keys' without 'high_res' or .* or 'cam' or 'strided_cam'"),
        ({"keys": [1, 2, 3], "cam": MAPS}, r"classes of shape \(3,\) and maps of shape \(2, 9, 14\)"),
        ({"keys": [0.5, 1], "cam": MAPS}, "classes of type float64"),
        ({"keys": [0, 0], "cam": MAPS}, r"a class twice, \[1, 1\]"),
        ({"keys": [-1, 0], "cam": MAPS}, "a class below the first, 0"),
        ({0: MAPS[0], 1: MAPS[1, 1:]}, r"maps of shapes \(9, 14\), \(8, 14\)"),
        ({0: MAPS}, r"maps of shapes \(2, 9, 14\), not all \(H, W\)"),
        ({1.5: MAPS[0]}, "classes of type float64"),
        ({0: (255 * MAPS[0]).astype(np.uint8)}, "maps of type uint8"),
        ({0: nan[1]}, "NaN values"),
        ({"keys": [0, 1], "high_res": infinite}, "infinite values"),
        ({0: MAPS[0].astype(np.float64) * 1e300}, "infinite values"),
    ]
    for item, message in cases:
        with pytest.raises(ValueError, match=f"read_cam: path must hold .*{message}.*a.npy"):
            read_cam(save(tmp_path / "a.npy", item))
    np.savez(tmp_path / "a.npz", maps=MAPS)
    with pytest.raises(ValueError, match="no 'cams' among 'maps'"):
        read_cam(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", cams=MAPS, classes=[0, 1])
    with pytest.raises(ValueError, match="a class below the first, 0"):
        read_cam(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", cams=boxed({}))
    with pytest.raises(ValueError, match="allow_pickle"):
        read_cam(tmp_path / "a.npz")


def test_damaged_files(tmp_path: Path) -> None:
    whole = save(tmp_path / "whole.npy", {"keys": torch.tensor([0, 1]), "cam": torch.from_numpy(MAPS)}).read_bytes()
    np.savez_compressed(tmp_path / "whole.npz", cams=MAPS)
    zipped = (tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "damaged"
    for data in (
        b"",
        b"\x93NUM",
        b"text",
        *(whole[:n] for n in (6, 8, 20, 130, 200, len(whole) // 2, len(whole) - 1)),
        *(zipped[:n] for n in (2, 30, len(zipped) // 2, len(zipped) - 1)),
        zipped[:100] + bytes(200) + zipped[300:],
    ):
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"read_cam: path must hold .*damaged"):
            read_cam(path)
    with pytest.raises(FileNotFoundError):
        read_cam(tmp_path / "missing.npy")


# --- writing


@pytest.mark.parametrize("format", CAM_FORMATS)
@pytest.mark.parametrize("count", [0, 2])
def test_what_is_written_is_read(tmp_path: Path, format: str, count: int) -> None:
    path = tmp_path / "a.cam"
    write_cam(path, CLASSES[:count], torch.from_numpy(MAPS[:count]).double(), format=format)
    found, classes, maps = load_cam(path)
    assert found == {"recam": "irn", "l2g": "eps"}.get(format, format)
    assert classes.tolist() == CLASSES[:count]
    np.testing.assert_array_equal(maps, MAPS[:count] if count or found != "eps" else np.zeros((0, 0, 0)))
    before = path.read_bytes()
    torch.rand(1000)  # moves what is in memory
    write_cam(path, np.array(CLASSES[:count], np.uint8), MAPS[:count], format=format)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.cam"]


def test_the_projects_can_read_what_is_written(tmp_path: Path) -> None:
    write_cam(tmp_path / "irn.npy", CLASSES, MAPS, format="irn")
    item = np.load(tmp_path / "irn.npy", allow_pickle=True).item()
    assert np.pad(item["keys"] + 1, (1, 0), mode="constant").tolist() == [0, *CLASSES]
    assert isinstance(item["cam"], torch.Tensor) and item["cam"].dtype == torch.float32
    assert item["cam"].shape == (2, (9 - 1) // 4 + 1, (14 - 1) // 4 + 1)
    assert abs(item["cam"].mean() - MAPS.mean()) < 0.05
    scores = np.pad(item["high_res"], ((1, 0), (0, 0), (0, 0)), mode="constant", constant_values=0.3)
    np.testing.assert_array_equal(scores[1:], MAPS)
    write_cam(tmp_path / "clip.npy", CLASSES, MAPS, format="clip_es")
    clip = np.load(tmp_path / "clip.npy", allow_pickle=True).item()
    assert (clip["keys"] + 1).tolist() == CLASSES and np.array_equal(clip["attn_highres"], MAPS)
    write_cam(tmp_path / "puzzle.npy", CLASSES, MAPS, format="puzzle_cam")
    puzzle = np.load(tmp_path / "puzzle.npy", allow_pickle=True).item()
    assert puzzle["keys"].tolist() == [0, *CLASSES] and np.array_equal(puzzle["hr_cam"], MAPS)
    np.testing.assert_array_equal(puzzle["cam"], item["cam"])
    item["high_res"][:] = 0  # arrays can be written to, as those of numpy.load
    write_cam(tmp_path / "eps.npy", CLASSES, MAPS, format="eps")
    item = np.load(tmp_path / "eps.npy", allow_pickle=True).item()
    assert all(type(key) is int for key in item)
    np.testing.assert_array_equal(item[14], MAPS[0])
    np.testing.assert_array_equal(item[0], MAPS[1])


@pytest.mark.parametrize("format", ["irn", "eps"])
def test_any_version_of_numpy_can_read_what_is_written(tmp_path: Path, format: str) -> None:
    """NumPy 1 has no numpy._core, and NumPy 2 deprecates numpy.core."""
    write_cam(tmp_path / "a.npy", CLASSES, MAPS, format=format)
    data = (tmp_path / "a.npy").read_bytes()
    assert b"_core" not in data and b"numpy.core" not in data


@pytest.mark.parametrize("format", ["irn", "puzzle_cam"])
def test_the_smaller_map_is_an_average(tmp_path: Path, format: str) -> None:
    maps = np.arange(24)[None, :, None].repeat(32, 2) % 4 == 0  # a row of four
    write_cam(tmp_path / "a.npy", [3], maps.astype(np.float32), format=format)
    smaller = np.asarray(np.load(tmp_path / "a.npy", allow_pickle=True).item()["cam"])
    assert smaller.shape == (1, 6, 8)
    np.testing.assert_allclose(smaller, 0.25, atol=0.1)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    write_cam(path, CLASSES, MAPS, format="npz")
    before = path.read_bytes()

    def fail(file: Any, **_: Any) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        write_cam(path, CLASSES, MAPS, format="npz")
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_write_errors_come_before_any_file(tmp_path: Path) -> None:
    nan = MAPS.copy()
    nan[0, 0, 0] = np.nan
    cases: list[tuple[Any, Any, str, type[Exception], str]] = [
        (
            [1, 2],
            MAPS,
            "numpy",
            ValueError,
            f"format must be one of {', '.join(map(repr, CAM_FORMATS))}, got 'numpy'",
        ),
        ([1.0, 2.0], MAPS, "irn", TypeError, "classes must be integers, got float64"),
        ([1, 2], MAPS.astype(int), "irn", TypeError, "maps must be floating point, got int64"),
        ([1], MAPS, "irn", ValueError, r"classes of shape \(1,\) and maps of shape \(2, 9, 14\)"),
        ([1, 2], MAPS[None], "irn", ValueError, "maps of shape"),
        ([1, 2], MAPS[:, :0], "irn", ValueError, "maps of shape"),
        ([0, 2], MAPS, "irn", ValueError, "a class below the first, 0"),
        ([2, 2], MAPS, "eps", ValueError, "a class twice"),
        ([1, 2], nan, "npz", ValueError, "NaN values"),
    ]
    for classes, maps, format, kind, message in cases:
        with pytest.raises(kind, match=f"write_cam: .*{message}"):
            write_cam(tmp_path / "a.npy", classes, maps, format=format)
    with pytest.raises(FileNotFoundError):
        write_cam(tmp_path / "none" / "a.npy", CLASSES, MAPS)
    assert list(tmp_path.iterdir()) == []
