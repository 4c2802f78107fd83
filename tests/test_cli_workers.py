"""What commands over folders share: worker processes and the progress over images."""

from __future__ import annotations

import signal
import sys
import time
from typing import Any

import pytest

from closedform_wsss.cli.common.image_progress import ImageProgress
from closedform_wsss.cli.common.workers import Failure, run_jobs


@pytest.mark.slow
def test_a_dying_worker_takes_only_its_own_job_along() -> None:
    """Signal 9 kills, as an operating system out of memory does; 0 is nothing; -1 is an error."""
    jobs = [0, int(signal.SIGKILL), 0, -1, 0]
    results = list(run_jobs(signal.raise_signal, jobs, workers=2))
    assert sorted(job for job, _ in results) == sorted(jobs)
    for job, result in results:
        if job == 0:
            assert result is None
        else:
            assert isinstance(result, Failure)
            assert ("killed by signal 9" in result.reason) if job > 0 else ("Invalid argument" in result.reason)


def test_progress_without_tqdm_prints_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr("closedform_wsss.cli.common.image_progress._PLAIN_INTERVAL", 0.0)
    clock = iter([0.0, 10.0, 10.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    with ImageProgress(725, shown=True) as progress:
        progress.advance()
        progress.note("something")
    assert capsys.readouterr().err.splitlines() == ["1 of 725 images, 2:00:40 left", "something"]
    monkeypatch.undo()
    with ImageProgress(2, shown=False) as quiet:
        quiet.advance()
    assert capsys.readouterr().err == ""


def test_progress_with_tqdm_shows_images(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    with ImageProgress(2, shown=True) as progress:
        progress.advance()
        progress.note("a line of its own")
    err = capsys.readouterr().err
    assert "0/2" in err and "a line of its own\n" in err


def test_any_exception_of_a_job_is_a_failure_with_one_line() -> None:
    def job(error: Any) -> None:
        raise error

    errors = [ValueError("a\n b"), OSError(2, "No such file", "x.png"), OSError("plain"), KeyError("k")]
    reasons = [result.reason for _, result in run_jobs(job, errors, workers=1)]
    assert reasons == ["a b", "x.png: No such file", "plain", "KeyError: 'k'"]
