"""What commands over folders share: worker processes and the progress over images."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from closedform_wsss.cli.common.progress import note, progress_bar
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


def test_lines_do_not_break_a_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar(shown=True, total=2, unit=" images") as bar:
        bar.update()
        note("a line of its own")
    err = capsys.readouterr().err
    assert "0/2" in err and "\ra line of its own\n" in err
    with progress_bar(shown=False, total=2) as bar:
        bar.update()
        note("a line without a bar")
    assert capsys.readouterr().err == "a line without a bar\n"


def test_any_exception_of_a_job_is_a_failure_with_one_line() -> None:
    def job(error: Any) -> None:
        raise error

    errors = [ValueError("a\n b"), OSError(2, "No such file", "x.png"), OSError("plain"), KeyError("k")]
    reasons = [result.reason for _, result in run_jobs(job, errors, workers=1)]
    assert reasons == ["a b", "x.png: No such file", "plain", "KeyError: 'k'"]
