"""Large pages for what a kernel fills."""

from pathlib import Path

import pytest
import torch

from closedform_wsss import _C
from closedform_wsss._ops._define import LARGE_BYTES, new_large

SUPPORTED = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def flags(address: int) -> list[str]:
    """Of the piece of this process's memory that holds the address."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if "-" in first and not first.endswith(":"):
            start, end = (int(part, 16) for part in first.split("-"))
            inside = start <= address < end
        elif inside and first == "VmFlags:":
            return line.split()[1:]
    raise AssertionError("not mapped")


@pytest.mark.skipif(not SUPPORTED.exists(), reason="this system has no transparent huge pages")
@pytest.mark.parametrize("num_bytes", [LARGE_BYTES // 2, LARGE_BYTES + 4096])
def test_large_tensors_ask_for_large_pages(num_bytes):
    like = torch.zeros(1)
    new = new_large(like, (num_bytes // 4,))
    assert new.shape == (num_bytes // 4,) and new.dtype == like.dtype
    if num_bytes >= LARGE_BYTES:  # smaller memory may be used again, and NumPy may have asked for large pages there
        assert "hg" in flags(new.data_ptr() + num_bytes // 2)
    assert new.fill_(1).sum(dtype=torch.float64) == num_bytes // 4


def test_a_range_without_a_whole_page_is_left_alone():
    """Nothing happens, nor with no memory at all."""
    small = torch.zeros(16)
    _C.advise_huge_pages(small.data_ptr(), small.nbytes)
    _C.advise_huge_pages(0, 0)
    assert (small == 0).all()
