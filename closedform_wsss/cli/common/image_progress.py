"""The progress over a folder of images on stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

_PLAIN_INTERVAL = 10.0  # seconds between lines where there is no tqdm


class ImageProgress:
    """How many images are done, and the time left.

    tqdm draws a bar if it is installed; otherwise a line is printed now and then.

    Args:
        total: The number of images.
        shown: Whether to show anything.
    """

    def __init__(self, total: int, *, shown: bool) -> None:
        self._total = total
        self._shown = shown
        self._done = 0
        self._started = time.monotonic()
        self._next_line = self._started + _PLAIN_INTERVAL
        self._bar = _tqdm_bar(total) if shown else None

    def __enter__(self) -> ImageProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def advance(self) -> None:
        """One more image is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()
        elif self._shown and time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _PLAIN_INTERVAL
            left = (time.monotonic() - self._started) / self._done * (self._total - self._done)
            print(f"{self._done} of {self._total} images, {_duration(left)} left", file=sys.stderr)

    def note(self, text: str) -> None:
        """A line of its own, shown in any case."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            print(text, file=sys.stderr)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _tqdm_bar(total: int) -> Any:
    """A tqdm bar, or None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, unit=" images", leave=False)
