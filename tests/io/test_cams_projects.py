"""CAM files of projects other than IRN and EPS, as those projects write them: fields, keys, types."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import fuzz_formats as formats

from closedform_wsss.io import read_cam
from closedform_wsss.io._maps.cams import load_cam

MAPS = np.random.default_rng(0).random((2, 9, 14)).astype(np.float32)
CLASSES = [15, 1]


def saved(path: Path, item: Any, protocol: int = 4) -> Path:
    path.write_bytes(formats.npy(pickle.dumps(formats.boxed(item), protocol)))
    return path


class Touches:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


PUZZLE, SIPE = [0, *CLASSES], np.concatenate([MAPS[:1] * 0.5, MAPS])


@pytest.mark.parametrize(
    ("item", "format"),
    [
        ({"keys": np.array([14, 0]), "attn_highres": MAPS.astype(np.float16)}, "clip_es"),
        ({"keys": [14, 0], "highres": MAPS, "strided_cam": MAPS[:, ::4, ::4]}, "clip_es"),
        ({"keys": [14, 0], "attn_highres": MAPS, "highres": MAPS * 0, "strided_cam": MAPS[:, ::4, ::4]}, "clip_es"),
        ({"keys": np.array(PUZZLE), "cam": torch.from_numpy(MAPS[:, ::4, ::4].copy()), "hr_cam": MAPS}, "puzzle_cam"),
        ({"keys": torch.tensor(PUZZLE), "hr_cam": torch.from_numpy(MAPS)}, "puzzle_cam"),
        ({"keys": PUZZLE, "rw": MAPS}, "irn"),
        ({"keys": PUZZLE, "cam": MAPS}, "irn"),
        ({"keys": [14, 0], "hr_cam": MAPS}, "puzzle_cam"),  # a copy of the project that does not pad
        ({"keys": np.array(PUZZLE), "IS_CAM": SIPE}, "irn"),
        ({"keys": torch.tensor([14, 0]), "cam": torch.nn.Parameter(torch.from_numpy(MAPS))}, "irn"),
        ({14: torch.nn.Parameter(torch.from_numpy(MAPS[0]), requires_grad=False), 0: MAPS[1]}, "eps"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_dictionaries_of_other_projects(tmp_path: Path, item: Any, format: str, protocol: int) -> None:
    path = saved(tmp_path / "a.npy", item, protocol)
    found, classes, maps = load_cam(path)
    assert found == format and classes.tolist() == CLASSES and maps.dtype == torch.float32
    np.testing.assert_allclose(maps, MAPS, atol=5e-4 if "attn_highres" in item else 0)


def test_keys_and_maps_with_the_background_are_read_as_those_of_irn(tmp_path: Path) -> None:
    classes, maps = read_cam(saved(tmp_path / "a.npy", {"keys": PUZZLE, "cam": SIPE}))
    assert classes.tolist() == [1, 16, 2]
    np.testing.assert_array_equal(maps, SIPE)


def test_parameters_carry_nothing_besides(tmp_path: Path) -> None:
    """The function that rebuilds them gets a state, which could hold anything: it is not set."""
    parameter = torch.nn.Parameter(torch.from_numpy(MAPS))
    parameter.note = [1, 2]  # pickled as a parameter with a state
    path = saved(tmp_path / "a.npy", {"keys": [14, 0], "cam": parameter})
    assert b"_rebuild_parameter_with_state" in path.read_bytes()
    np.testing.assert_array_equal(read_cam(path)[1], MAPS)
    parameter.note = Touches(tmp_path / "trace")
    with pytest.raises(ValueError, match="touch"):
        read_cam(saved(tmp_path / "a.npy", {"keys": [14, 0], "cam": parameter}))
    assert not (tmp_path / "trace").exists()


class OfAList:
    def __reduce__(self) -> tuple[Any, ...]:
        return torch._utils._rebuild_parameter, ([1.0], False, None)


def test_a_parameter_of_anything_but_a_tensor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a pickled parameter of type list"):
        read_cam(saved(tmp_path / "a.npy", {"keys": [0], "cam": OfAList()}))
