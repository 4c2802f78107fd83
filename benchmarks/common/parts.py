"""How the time of a call divides into the functions that it calls."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any


class PartClock:
    """Replaces functions by themselves with a clock, and puts them back.

    A part does not count the parts inside it, so that all of them add up to less than the whole.

    Args:
        parts: Name of a part -> the module or class that holds its function, and the function's name there.
        on_call: Gets the part, the arguments and the result of each call.
    """

    def __init__(
        self,
        parts: Mapping[str, tuple[Any, str]],
        on_call: Callable[[str, tuple[Any, ...], Any], None] | None = None,
    ) -> None:
        self.parts, self.on_call = parts, on_call
        self.seconds: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self._inside = [0.0]  # seconds of the parts inside each open call

    def __enter__(self) -> PartClock:
        self._originals = {part: vars(owner)[name] for part, (owner, name) in self.parts.items()}
        for part, (owner, name) in self.parts.items():
            setattr(owner, name, self._timed(part, getattr(owner, name)))
        return self

    def __exit__(self, *_: object) -> None:
        for part, (owner, name) in self.parts.items():
            setattr(owner, name, self._originals[part])

    def _timed(self, part: str, function: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            self._inside.append(0.0)
            started = time.perf_counter()
            result = function(*arguments, **options)
            seconds = time.perf_counter() - started
            self.seconds[part] += seconds - self._inside.pop()
            self._inside[-1] += seconds
            self.calls[part] += 1
            if self.on_call is not None:
                self.on_call(part, arguments, result)
            return result

        return run
