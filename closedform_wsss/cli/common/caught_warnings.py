"""Warnings as lines of text."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from closedform_wsss.functional import ConvergenceWarning
from closedform_wsss.io import OrientationWarning, ValueRangeWarning


@contextmanager
def caught_warnings() -> Iterator[list[str]]:
    """A list that holds at the end, also after an exception, the texts of all warnings, each once.

    Warnings of this package are recorded for every file. For other warnings Python's filters apply.
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
