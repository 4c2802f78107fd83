"""Warnings as lines of a command."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from closedform_wsss.functional import ConvergenceWarning
from closedform_wsss.io import OrientationWarning, ValueRangeWarning


@contextmanager
def caught_warnings() -> Iterator[list[str]]:
    """A list that holds at the end, even if by an exception, what was warned of meanwhile, each text once.

    Warnings of this package are told of every file; for others Python's filters stand.
    """
    messages: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        for category in (OrientationWarning, ValueRangeWarning, ConvergenceWarning):
            warnings.simplefilter("always", category)
        try:
            yield messages
        finally:
            texts = (" ".join(str(warning.message).split()) for warning in caught)
            messages.extend(dict.fromkeys(texts))
