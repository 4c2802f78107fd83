"""Files that are complete or do not appear."""

from __future__ import annotations

import errno
import os
import threading
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


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    os.mkfifo(path)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(path.read_bytes()), daemon=True)
    reader.start()
    with atomic(path) as file:
        file.write(b"whole")
    assert path.is_fifo() and os.listdir(tmp_path) == [path.name]
    reader.join(60)
    assert received == [b"whole"]


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no names of open files")
def test_what_a_process_has_open_is_written_to(tmp_path: Path) -> None:
    """As /dev/stdout is, whose place no file may take, also if the output goes to a file."""
    with open(tmp_path / "log.txt", "wb") as log, atomic(f"/proc/self/fd/{log.fileno()}") as file:
        file.write(b"whole")
    assert (tmp_path / "log.txt").read_bytes() == b"whole"
