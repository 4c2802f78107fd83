"""Files that are complete or do not appear."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from closedform_wsss.io._files.record import remove_leftovers
from closedform_wsss.io._files.save import atomic, name_of_temporary


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "ü" * 125 + ".png", "a.png"])
def test_the_longest_names_are_written_and_what_a_killed_run_left_of_them_is_removed(tmp_path: Path, name: str) -> None:
    """A temporary file has a longer name than its result, and file systems allow 255 bytes."""
    with atomic(tmp_path / name) as file:
        file.write(b"whole")
    assert (tmp_path / name).read_bytes() == b"whole"
    leftover = tmp_path / f".{name_of_temporary(name)}.0a1b2c3d.tmp"
    leftover.write_bytes(b"half")
    remove_leftovers(tmp_path, {name})
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG])
def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path: Path, code: int) -> None:
    """The error of a write has no name."""
    path = tmp_path / "a.png"
    with pytest.raises(OSError, match=os.strerror(code)) as caught, atomic(path):
        raise OSError(code, os.strerror(code))
    assert (caught.value.errno, caught.value.filename) == (code, str(path))
    assert not os.listdir(tmp_path)


def test_other_errors_stay_as_they_are(tmp_path: Path) -> None:
    for error in (OSError("of an encoder"), OSError(errno.ENOENT, "missing", "other.png"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, atomic(tmp_path / "a.png"):
            raise error
        assert caught.value is error and not os.listdir(tmp_path)
