"""Where things are, and how one benchmark starts another in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent
ROOT = BENCHMARKS.parent
RESULTS = BENCHMARKS / "results"


def script(name: str) -> list[str]:
    """The command ``python benchmarks NAME``, from any folder."""
    return [sys.executable, str(BENCHMARKS), name]
