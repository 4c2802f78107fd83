"""What a benchmark has measured, in a file, so that an interrupted run goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SAME = ("cpu", "threads", "packages", "build", "commit")


class Kept:
    """Values by key. Those of another version, machine or input are not mixed with new ones: they are dropped.

    Args:
        file: The JSON file.
        machine: As of ``describe_machine``.
        inputs: What else the values depend on, JSON-ready.
    """

    def __init__(self, file: Path, machine: dict[str, Any], inputs: Any) -> None:
        self.file = file
        self.of = json.loads(json.dumps({name: machine[name] for name in SAME} | {"inputs": inputs}))
        self.found: dict[str, Any] = {}
        if file.exists():
            before = json.loads(file.read_text())
            if before.get("of") == self.of:
                self.found = before["found"]
            else:
                print(f"{file.name} is of another version, machine or input: measuring anew", file=sys.stderr)

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """The value of a key, made and written if it is not there."""
        if key not in self.found:
            self.found[key] = make()
            self.file.parent.mkdir(parents=True, exist_ok=True)
            part = self.file.with_suffix(".part")
            part.write_text(json.dumps({"of": self.of, "found": self.found}, indent=1))
            part.replace(self.file)  # whole, whenever the run is interrupted
        return self.found[key]
