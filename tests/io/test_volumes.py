"""NIfTI volumes against nibabel's own arrays, and files as other programs write them."""

from __future__ import annotations

import gzip
import pickle
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from closedform_wsss import io

nibabel = pytest.importorskip("nibabel")

SIZE = (9, 7, 5)  # X, Y, Z
# A tilted stack of slices, x to the left as DICOM has it.
AFFINE = np.array([[-0.8, 0, 0.5, 90], [0, -0.79, 1.2, 60], [0.02, 0.12, 4.8, -30], [0, 0, 0, 1]])
RNG = np.random.default_rng(0)
HOUNSFIELD = RNG.integers(-1024, 3072, SIZE).astype(np.int16)


def save(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE, *, version: int = 1, **fields: float) -> Path:
    image = (nibabel.Nifti1Image, nibabel.Nifti2Image)[version - 1](array, affine)
    image.header.set_xyzt_units("mm")
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


@pytest.mark.parametrize("suffix", [".nii", ".NII.GZ"])
@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("dtype", ["u1", "<i2", ">i2", "<u2", "<i4", "<f4", ">f4", "<f8"])
def test_slices_are_the_transpose_of_nibabels_array(tmp_path, suffix, version, dtype):
    array = (HOUNSFIELD % 200).astype(dtype)
    image = (nibabel.Nifti1Image, nibabel.Nifti2Image)[version - 1](array, AFFINE)
    if dtype[0] == ">":  # as written on another machine
        image = type(image)(array, AFFINE, image.header.as_byteswapped(">"))
        image.set_data_dtype(dtype)
    path = tmp_path / f"a{suffix}"
    path.write_bytes(gzip.compress(image.to_bytes()) if suffix.lower().endswith("gz") else image.to_bytes())
    volume = io.read_volume(path)
    assert volume.values.dtype == torch.float32 and volume.values.is_contiguous()
    np.testing.assert_array_equal(volume.values[:, 0].numpy(), array.T.astype(np.float32))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_axis_and_spacing(tmp_path, axis):
    volume = io.read_volume(save(tmp_path / "a.nii.gz", HOUNSFIELD), axis=axis)
    sides = np.linalg.norm(AFFINE[:3, :3], axis=0)
    others = [a for a in (2, 1, 0) if a != axis]  # rows, columns
    np.testing.assert_allclose(volume.spacing, [sides[axis], *(sides[a] for a in others)], rtol=1e-6)
    assert volume.axis == axis and volume.values.shape == (SIZE[axis], 1, SIZE[others[0]], SIZE[others[1]])
    for index in range(SIZE[axis]):
        expected = HOUNSFIELD.take(index, axis)  # the remaining axes in the file's order: the first one is columns
        np.testing.assert_array_equal(volume.values[index, 0].numpy(), expected.T)


def test_window_after_slope_and_intercept(tmp_path):
    image = nibabel.Nifti1Image(HOUNSFIELD, AFFINE)
    image.header.set_slope_inter(2.5, -1000)
    nibabel.save(image, tmp_path / "a.nii")  # nibabel stores (values - inter) / slope
    stored = nibabel.load(tmp_path / "a.nii")
    assert stored.dataobj.slope == 2.5
    values = stored.get_fdata()
    volume = io.read_volume(tmp_path / "a.nii", window=(-160, 240))
    expected = ((values + 160) / 400).clip(0, 1).T
    np.testing.assert_allclose(volume.values[:, 0].numpy(), expected, rtol=0, atol=1e-6)
    volume = io.read_volume(tmp_path / "a.nii", percentiles=(1, 99))
    low, high = np.percentile(values, (1, 99))
    np.testing.assert_allclose(volume.values[:, 0].numpy(), ((values - low) / (high - low)).clip(0, 1).T, atol=1e-6)


def test_frames(tmp_path):
    array = RNG.normal(size=(*SIZE, 3)).astype(np.float32)
    path = save(tmp_path / "cine.nii.gz", array)
    with pytest.raises(ValueError, match=r"read_volume: frame must choose one of 3 frames, from 0 to 2, got None for"):
        io.read_volume(path)
    with pytest.raises(ValueError, match=r"frame must be from 0 to 2, got 3 for shape \(9, 7, 5, 3\) in '.*cine"):
        io.read_volume(path, frame=3)
    volume = io.read_volume(path, frame=1)
    np.testing.assert_array_equal(volume.values[:, 0].numpy(), array[..., 1].T)
    io.write_volume(tmp_path / "labels.nii.gz", torch.ones(5, 7, 9, dtype=torch.uint8), volume)
    assert nibabel.load(tmp_path / "labels.nii.gz").shape == SIZE
    one = io.read_volume(save(tmp_path / "one.nii", array[..., :1]))
    np.testing.assert_array_equal(one.values[:, 0].numpy(), array[..., 0].T)
    flat = io.read_volume(save(tmp_path / "flat.nii", array[..., 0, 0]))
    np.testing.assert_array_equal(flat.values[:, 0].numpy(), array[..., :1, 0].T)
    with pytest.raises(ValueError, match=r"frame must be from 0 to 0|path must hold a volume"):
        io.read_volume(save(tmp_path / "vectors.nii", array[..., None, :]))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_labels_are_written_on_the_grid_of_the_image(tmp_path, axis, name):
    path = save(tmp_path / "image.nii.gz", HOUNSFIELD, cal_max=400.0, cal_min=-100.0)
    loaded = nibabel.load(path)
    loaded.header.set_sform(AFFINE, code="scanner")
    loaded.header.set_qform(AFFINE, code="scanner")
    nibabel.save(loaded, path)
    volume = io.read_volume(path, axis=axis)
    labels = torch.from_numpy(RNG.integers(0, 256, volume.values[:, 0].shape))
    io.write_volume(tmp_path / name, labels, volume)
    written, image = nibabel.load(tmp_path / name), nibabel.load(path)
    assert written.get_data_dtype() == np.uint8 and np.asanyarray(written.dataobj).dtype == np.uint8
    np.testing.assert_array_equal(written.affine, image.affine)
    for field in ("pixdim", "qform_code", "sform_code", "xyzt_units", "quatern_b", "srow_x"):
        np.testing.assert_array_equal(written.header[field], image.header[field])
    assert written.header["cal_max"] == 0 and np.isnan(written.header["scl_slope"])
    stored = np.asanyarray(written.dataobj)
    for index in range(len(labels)):
        np.testing.assert_array_equal(stored.take(index, axis).T, labels[index].numpy())
    assert torch.equal(io.read_label_volume(tmp_path / name, volume), labels)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (torch.tensor([0, 1], dtype=torch.bool), "uint8"),
        (torch.tensor([-1, 300]), "int16"),
        (torch.tensor([0, 40000]), "int32"),
        (torch.tensor([0.25, 0.5], dtype=torch.float64), "float32"),
        (torch.tensor([0.25, 0.5], dtype=torch.bfloat16), "float32"),
        (np.array([0, 255], np.uint16), "uint8"),
    ],
)
def test_types_that_are_written(tmp_path, values, dtype):
    volume = io.read_volume(save(tmp_path / "a.nii", HOUNSFIELD[:2, :1, :1]))
    io.write_volume(tmp_path / "b.nii", values.reshape(1, 1, 1, 2), volume)
    written = nibabel.load(tmp_path / "b.nii")
    assert written.get_data_dtype().name == dtype
    assert np.asanyarray(written.dataobj).ravel().tolist() == values.tolist()


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "SLA"])
def test_labels_with_other_axes_are_turned_to_the_image(tmp_path, codes):
    """As 3D Slicer or another converter stores them: the oracle is the position of each voxel in millimetres."""
    labels = RNG.integers(0, 4, SIZE).astype(np.uint8)
    volume = io.read_volume(save(tmp_path / "image.nii.gz", HOUNSFIELD))
    other = nibabel.Nifti1Image(labels, AFFINE)
    there, here = nibabel.orientations.axcodes2ornt(codes), nibabel.io_orientation(AFFINE)
    other = other.as_reoriented(nibabel.orientations.ornt_transform(here, there))
    nibabel.save(other, tmp_path / "labels.nii.gz")
    assert "".join(nibabel.aff2axcodes(other.affine)) == codes
    found = io.read_label_volume(tmp_path / "labels.nii.gz", volume)
    to_other = np.linalg.inv(other.affine) @ AFFINE
    stored = np.asanyarray(other.dataobj)
    for index in np.ndindex(*SIZE):
        i, j, k = np.rint(to_other @ [*index, 1])[:3].astype(int)
        assert found[index[2], index[1], index[0]] == stored[i, j, k]


def test_labels_of_another_grid(tmp_path):
    volume = io.read_volume(save(tmp_path / "image.nii.gz", HOUNSFIELD))
    shifted = AFFINE.copy()
    shifted[0, 3] += 0.4
    with pytest.raises(ValueError, match=r"read_label_volume: path must hold labels on the grid .* up to 0.4 mm from"):
        io.read_label_volume(save(tmp_path / "shifted.nii", np.zeros(SIZE, np.uint8), shifted), volume)
    with pytest.raises(ValueError, match=r"\(9, 7, 5\) voxels, got shape \(9, 7, 4\) in '.*short.nii'"):
        io.read_label_volume(save(tmp_path / "short.nii", np.zeros((9, 7, 4), np.uint8)), volume)
    rounded = AFFINE + 1e-4 * RNG.normal(size=AFFINE.shape) * (np.arange(4) < 3)[:, None]
    assert io.read_label_volume(save(tmp_path / "near.nii", np.zeros(SIZE, np.uint8), rounded), volume).sum() == 0


def test_codes_of_labels(tmp_path):
    volume = io.read_volume(save(tmp_path / "image.nii.gz", HOUNSFIELD[:3, :1, :1]))
    stored = np.array([0, 1, 4]).reshape(3, 1, 1)
    for dtype in (np.uint8, np.int16, np.float32, np.float64):
        path = save(tmp_path / "labels.nii", stored.astype(dtype))
        assert io.read_label_volume(path, volume).flatten().tolist() == [0, 1, 4]
        assert io.read_label_volume(path, volume, unmarked=0).flatten().tolist() == [255, 1, 4]
        assert io.read_label_volume(path, volume, remap="reduce_zero").flatten().tolist() == [255, 0, 3]
        assert io.read_label_volume(path, volume, remap={4: 255}).flatten().tolist() == [0, 1, 255]
    for bad in (0.5, np.nan):
        with pytest.raises(ValueError, match="read_label_volume: path must hold integers, got fractions or NaN in"):
            io.read_label_volume(save(tmp_path / "bad.nii", np.full((3, 1, 1), bad, np.float32)), volume)
    with pytest.raises(ValueError, match=r"path must hold labels that fit remap, got .*1000"):
        io.read_label_volume(save(tmp_path / "bad.nii", np.full((3, 1, 1), 1000, np.int16)), volume)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
@pytest.mark.parametrize("kept", [0, 10, 200, 352, 0.5, -4, -1])
def test_truncated_files(tmp_path, name, kept):
    content = save(tmp_path / name, HOUNSFIELD).read_bytes()
    (tmp_path / name).write_bytes(content[: int(kept * len(content)) if isinstance(kept, float) else kept])
    with pytest.raises(ValueError, match=rf"read_volume: path must be a complete NIfTI file, got '.*{name}' \(.+\)"):
        io.read_volume(tmp_path / name)


def test_damage_that_only_the_checksum_shows(tmp_path):
    content = save(tmp_path / "a.nii", HOUNSFIELD).read_bytes()
    stored = bytearray(gzip.compress(content, 0))  # not compressed: a flipped bit is a wrong voxel
    stored[len(stored) // 2] ^= 1
    (tmp_path / "a.nii.gz").write_bytes(stored)
    with pytest.raises(ValueError, match=r"read_volume: path must be a complete NIfTI file, .*CRC check failed"):
        io.read_volume(tmp_path / "a.nii.gz")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_sizes_that_a_header_only_claims(tmp_path, name):
    """They must not be allocated: 40 terabytes."""
    content = bytearray(save(tmp_path / "b.nii", HOUNSFIELD).read_bytes())
    content[42:48] = np.array([32767, 32767, 20000], "<i2").tobytes()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ValueError, match=r"it is too short for its shape \(32767, 32767, 20000\)"):
        io.read_volume(tmp_path / name)


@pytest.mark.parametrize("broken", [0.0, np.nan])
def test_affines_that_give_voxels_no_place(tmp_path, broken):
    """As a program leaves them that fills in a code of the affine, and not its numbers."""
    volume = io.read_volume(save(tmp_path / "a.nii", np.zeros(SIZE, np.uint8)))
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[252:256] = struct.pack("<hh", 0, 1)  # qform_code, sform_code
    data[280:328] = struct.pack("<12f", *[broken] * 12)
    (tmp_path / "b.nii").write_bytes(data)
    message = r"must have an affine that gives each voxel its place, got \[\[(0.0|nan), .* in '.*b.nii': store it with"
    with pytest.raises(ValueError, match=f"read_volume: path {message}"):
        io.read_volume(tmp_path / "b.nii")
    with pytest.raises(ValueError, match=f"read_label_volume: path {message}"):
        io.read_label_volume(tmp_path / "b.nii", volume)
    image = nibabel.load(tmp_path / "b.nii")
    nibabel.save(nibabel.Nifti1Image(image.get_fdata(), np.diag([1, 1, 5, 1])), tmp_path / "c.nii")
    assert io.read_volume(tmp_path / "c.nii").spacing == (5, 1, 1)


def test_files_of_other_kinds(tmp_path):
    colours = np.zeros(SIZE, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ValueError, match="one real number a voxel, got colours in"):
        io.read_volume(save(tmp_path / "rgb.nii", colours))
    with pytest.raises(ValueError, match="one real number a voxel, got complex numbers in"):
        io.read_volume(save(tmp_path / "complex.nii", np.zeros(SIZE, np.complex64)))
    with pytest.raises(ValueError, match=r"path must end in .nii or .nii.gz, got '.*a.mha'"):
        io.read_volume(tmp_path / "a.mha")
    (tmp_path / "text.nii").write_text("x" * 1000)
    with pytest.raises(ValueError, match=r"it does not begin with a header of NIfTI"):
        io.read_volume(tmp_path / "text.nii")
    (tmp_path / "plain.nii.gz").write_bytes((tmp_path / "rgb.nii").read_bytes())
    with pytest.raises(ValueError, match=r"Not a gzipped file"):
        io.read_volume(tmp_path / "plain.nii.gz")
    with pytest.raises(FileNotFoundError):
        io.read_volume(tmp_path / "missing.nii")
    (tmp_path / "folder.nii").mkdir()
    with pytest.raises(ValueError, match=r"path must be a NIfTI file, got the directory"):
        io.read_volume(tmp_path / "folder.nii")
    with pytest.raises(ValueError, match=r"NaN values in '.*': read it without window"):
        io.read_volume(save(tmp_path / "nan.nii", np.full(SIZE, np.nan)), window=(0, 1))
    assert io.read_volume(tmp_path / "nan.nii").values.isnan().all()
    with pytest.raises(ValueError, match=r"Pillow can read, got .*closedform_wsss.io.read_volume reads NIfTI"):
        io.read_image(tmp_path / "rgb.nii")


def test_wrong_arguments(tmp_path):
    path = save(tmp_path / "a.nii", HOUNSFIELD)
    volume = io.read_volume(path)
    with pytest.raises(ValueError, match="read_volume: axis must be one of 0, 1, 2, got 'axial'"):
        io.read_volume(path, axis="axial")
    with pytest.raises(ValueError, match="read_volume: frame must be an integer >= 0, got -1"):
        io.read_volume(path, frame=-1)
    with pytest.raises(TypeError, match="read_label_volume: volume must be a Volume, as from read_volume, got Tensor"):
        io.read_label_volume(path, volume.values)
    with pytest.raises(ValueError, match=r"write_volume: values must be \(S, H, W\) = \(5, 7, 9\) .*\(5, 2, 7, 9\)"):
        io.write_volume(tmp_path / "b.nii", torch.zeros(5, 2, 7, 9), volume)
    with pytest.raises(ValueError, match="values must fit into 32 bits with a sign, got integers from 0 to 4294967296"):
        io.write_volume(tmp_path / "b.nii", torch.full((5, 7, 9), 1 << 32).tril(), volume)
    with pytest.raises(TypeError, match="write_volume: values must be a tensor or an array of numbers"):
        io.write_volume(tmp_path / "b.nii", np.full((5, 7, 9), "a"), volume)
    assert not (tmp_path / "b.nii").exists()


def test_volumes_can_be_sent_to_other_processes(tmp_path):
    volume = pickle.loads(pickle.dumps(io.read_volume(save(tmp_path / "a.nii", HOUNSFIELD))))
    io.write_volume(tmp_path / "b.nii", volume.values, volume)
    np.testing.assert_array_equal(nibabel.load(tmp_path / "b.nii").get_fdata(), HOUNSFIELD)
    assert repr(volume) == "Volume(values=(5, 1, 7, 9), spacing=4.97 x 0.799 x 0.8 mm, axis=2)"


def test_without_nibabel(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "nibabel", None)
    with pytest.raises(ImportError, match=r"read_volume: nibabel must be installed .*: pip install nibabel$"):
        io.read_volume(tmp_path / "a.nii")


@pytest.mark.parametrize("how", [{"remap": "reduce_zero"}, {"unmarked": 0}])
def test_a_code_of_unmarked_voxels_that_became_a_class(tmp_path: Path, how: dict) -> None:
    """The scribbles of ACDC: 0 background, 1 to 3 organs, 4 not drawn."""
    stored = np.full(SIZE, 4, np.uint8)
    stored[:2, :2, 1], stored[4, 4, 1], stored[6, 3:5, 3] = 0, 1, 3
    path = save(tmp_path / "scribbles.nii.gz", stored)
    volume = io.read_volume(save(tmp_path / "mr.nii.gz", HOUNSFIELD))
    with pytest.warns(UserWarning, match=r"97.8% of the voxels .* class \d, stored as 4: .* pass unmarked=4, without"):
        io.read_label_volume(path, volume, **how)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert io.read_label_volume(path, volume, unmarked=4).unique().tolist() == [0, 1, 3, 255]
        io.read_label_volume(path, volume)  # the labels of all voxels may be of one class
