"""Numbers that are defaults are those that the documentation states."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import pytest

from closedform_wsss import functional, metrics, nn


def arguments_of(doc: str) -> dict[str, str]:
    """The description of each argument."""
    section = re.search(r"\nArgs:\n((?:    .*\n|\n)+)", doc + "\n")
    parts = re.split(r"^    (\w+): ", section.group(1), flags=re.MULTILINE)[1:] if section else []
    return dict(zip(parts[::2], parts[1::2], strict=True))


def numbers() -> Iterator[tuple[str, str, float, str]]:
    for module in (functional, nn, metrics):
        for name in module.__all__:
            public = getattr(module, name)
            if isinstance(public, type) and issubclass(public, Warning):
                continue
            described = arguments_of(inspect.getdoc(public) or "")
            for argument in inspect.signature(public).parameters.values():
                if type(argument.default) in (int, float):
                    yield name, argument.name, argument.default, described[argument.name]


CASES = list(numbers())


@pytest.mark.parametrize(("name", "argument", "value", "text"), CASES, ids=lambda part: str(part)[:20])
def test_a_number_is_the_documented_one(name: str, argument: str, value: float, text: str) -> None:
    stated = re.search(r"Default\s+(-?\d[\d.e-]*)(?:\s+/\s+(\d+))?", text)
    assert stated, (name, argument, text)
    number, divisor = stated.groups()
    assert value == float(number.rstrip(".")) / float(divisor or 1), (name, argument)


def test_there_are_many() -> None:
    assert len(CASES) > 60
