"""The progress of an iterative solver on stderr."""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType
from typing import Any

_PLAIN_INTERVAL = 2.0  # seconds between lines where there is no tqdm


class Progress:
    """A solver's ``callback(iteration, error)`` that shows how near the error is to its goal.

    The error of conjugate gradients falls geometrically on the whole, so the share of the way done is
    measured on a logarithmic scale. tqdm draws a bar if it is installed; otherwise a line is printed now and
    then.

    Args:
        goal: The error at which the solver stops.
        shown: Whether to show anything.
    """

    def __init__(self, goal: float, *, shown: bool) -> None:
        self._goal = goal
        self._shown = shown
        self._first = math.nan
        self._share = 0.0
        self._next_line = time.monotonic() + _PLAIN_INTERVAL
        self._bar = _tqdm_bar() if shown else None

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, iteration: int, error: float) -> None:
        if not self._shown:
            return
        self._advance(error)
        text = f"iteration {iteration}, error {error:.1e}"
        if self._bar is not None:
            self._bar.n = round(100 * self._share)
            self._bar.set_postfix_str(text)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _PLAIN_INTERVAL
            print(f"{100 * self._share:.0f} %, {text} of {self._goal:.1e}", file=sys.stderr)

    def _advance(self, error: float) -> None:
        if not (error > 0 and math.isfinite(error)):
            return
        if math.isnan(self._first):
            self._first = max(error, self._goal)
        way = math.log(self._first / self._goal)
        done = math.log(self._first / error) / way if way > 0 else 1.0
        # The error may rise for a while; a bar that goes back only confuses.
        self._share = max(self._share, min(done, 1.0))


def _tqdm_bar() -> Any:
    """A tqdm bar from 0 to 100, or None where tqdm is not installed."""
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=100, leave=False, bar_format="{l_bar}{bar}| {elapsed}{postfix}")
