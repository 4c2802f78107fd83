"""Files of class probabilities, as frameworks write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from closedform_wsss.io import read_cam, read_probabilities, write_probabilities

LOGITS = np.random.default_rng(0).normal(size=(4, 9, 14)).astype(np.float32) * 3
PROBS = np.exp(LOGITS) / np.exp(LOGITS).sum(0)


@pytest.mark.parametrize(
    "item",
    [PROBS, PROBS[None], PROBS[:, None], np.moveaxis(PROBS, 0, 2), PROBS.astype(np.float16), PROBS.astype(">f8")],
    ids=["array", "batch of one", "nnU-Net's slice", "channels last", "half", "big endian"],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".pt"])
def test_arrays(tmp_path: Path, item: np.ndarray, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, item)
    elif suffix == ".npz":
        np.savez_compressed(path, probabilities=item, other=np.zeros(3))
    else:
        torch.save(torch.from_numpy(item.astype(item.dtype.newbyteorder("="))), path)
    got = read_probabilities(path)
    assert got.dtype == torch.float32 and got.is_contiguous()
    np.testing.assert_allclose(got, PROBS, atol=1e-3 if item.dtype == np.float16 else 1e-6)
    torch.testing.assert_close(got.sum(0), torch.ones(9, 14))


@pytest.mark.parametrize("key", ["seg_logits", "sem_seg", "logits", "anything"])
def test_logits_in_dictionaries_of_torch(tmp_path: Path, key: str) -> None:
    torch.save({key: torch.from_numpy(LOGITS)}, tmp_path / "a.pth")
    np.testing.assert_allclose(read_probabilities(tmp_path / "a.pth", logits=True), PROBS, atol=1e-6)


def test_what_was_written_is_read(tmp_path: Path) -> None:
    for probs in (PROBS, torch.from_numpy(PROBS).double(), torch.from_numpy(PROBS).transpose(1, 2).contiguous().mT):
        write_probabilities(tmp_path / "a.npz", probs)
        np.testing.assert_allclose(read_probabilities(tmp_path / "a.npz"), PROBS, atol=1e-3)


@pytest.mark.parametrize("factor", [0.985, 1.015, 0.97, 1.03])
def test_sums_are_1_up_to_the_rounding_of_float16(tmp_path: Path, factor: float) -> None:
    np.save(tmp_path / "a.npy", PROBS * factor)
    if abs(factor - 1) < 0.02:
        np.testing.assert_allclose(read_probabilities(tmp_path / "a.npy"), PROBS, atol=0.01)
    else:
        with pytest.raises(ValueError, match=r"(add up to|values from)"):
            read_probabilities(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (LOGITS, "values from .*: for logits pass logits=True"),
        (PROBS[1:], "3 maps that add up to .* and not to 1: the background is a class too"),
        (PROBS[:1], "1 maps that add up to"),
        (PROBS[0], r"shape \(9, 14\)"),
        (np.stack([PROBS] * 2), r"shape \(2, 4, 9, 14\), a volume: save its slices"),
        (PROBS * np.nan, "NaN values"),
        (np.full_like(PROBS, np.inf), "infinite values"),
        ((PROBS * 255).astype(np.uint8), "type uint8, not floating point"),
        (PROBS[:, :0], r"shape \(4, 0, 14\)"),
        ({"a": PROBS, "b": PROBS}, "'a', 'b', none of probabilities"),
        ({"probabilities": "text"}, "not floating point"),
    ],
)
def test_mistakes(tmp_path: Path, item: object, message: str) -> None:
    np.save(tmp_path / "a.npy", item)
    with pytest.raises(ValueError, match=f"read_probabilities: path must hold .*{message}.*a.npy"):
        read_probabilities(tmp_path / "a.npy")


def test_other_mistakes(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", LOGITS[:1])
    with pytest.raises(ValueError, match="one map: stack that of the background"):
        read_probabilities(tmp_path / "one.npy", logits=True)
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ValueError, match="a damaged file"):
        read_probabilities(tmp_path / "cut.npz")
    (tmp_path / "empty.npy").touch()
    with pytest.raises(ValueError, match="an empty file"):
        read_probabilities(tmp_path / "empty.npy")
    with pytest.raises(ValueError, match=r"write_probabilities: probs must be .* of logits take the softmax first$"):
        write_probabilities(tmp_path / "a.npz", LOGITS)
    assert not (tmp_path / "a.npz").exists()


@pytest.mark.parametrize("channels_last", [False, True])
def test_probabilities_are_no_logits(tmp_path: Path, channels_last: bool) -> None:
    probs = torch.randn(4, 6, 7, generator=torch.Generator().manual_seed(0)).softmax(0).numpy()
    np.save(tmp_path / "a.npy", np.moveaxis(probs, 0, 2) if channels_last else probs)
    with pytest.raises(ValueError, match=r"got probabilities, in .* and no logits: leave out logits .--logits."):
        read_probabilities(tmp_path / "a.npy", logits=True)
    for logits in (probs * 2, probs - 0.5, np.log(probs)):
        np.save(tmp_path / "a.npy", logits)
        read_probabilities(tmp_path / "a.npy", logits=True)


def test_the_cause_comes_first(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.full((2, 3, 4), np.nan, np.float32))
    with pytest.raises(ValueError, match="NaN values") as probabilities:
        read_probabilities(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="NaN values") as cam:
        read_cam(tmp_path / "a.npy", [1, 2])
    assert all(str(caught.value).index("NaN") < 80 for caught in (probabilities, cam))
