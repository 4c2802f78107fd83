"""Progress bars on stderr, and lines that do not break them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm


def progress_bar(*, shown: bool, **options: Any) -> Any:
    """A tqdm bar that leaves nothing behind; without ``shown`` it prints nothing."""
    return tqdm(leave=False, disable=not shown, **options)


def note(text: str) -> None:
    """Prints a line on stderr above the bars, also where no bar is shown."""
    tqdm.write(text, file=sys.stderr)


def error_callback(bar: Any, goal: float) -> Callable[[int, float], None]:
    """A solver's ``callback(iteration, error)`` that moves a bar from 0 to 100 until the error is ``goal``."""
    first = 0.0

    def callback(iteration: int, error: float) -> None:
        nonlocal first
        if 0 < error < math.inf:
            first = first or max(error, goal)
            # Conjugate gradients reduce the error by about the same factor in every iteration.
            way = math.log(first / goal)
            done = math.log(first / error) / way if way > 0 else 1.0
            # The error may rise for a while, but a bar must not go back.
            bar.n = max(bar.n, round(100 * min(done, 1.0)))
        bar.set_postfix_str(f"iteration {iteration}, error {error:.1e}")

    return callback
