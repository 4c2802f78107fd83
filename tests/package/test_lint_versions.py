"""`make lint` and the hooks of pre-commit format alike: both name the same exact versions."""

from __future__ import annotations

import re

from helpers import ROOT


def lint_extra() -> dict[str, str]:
    """Names and versions of the extra's exact requirements."""
    (line,) = re.findall(r"^lint = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.M)
    return dict(re.findall(r'"([\w-]+)==([\d.]+)"', line))


def hooks() -> dict[str, tuple[str, str]]:
    """Of each hook its program and the version of it, which is empty where the hook takes the environment's."""
    text = (ROOT / ".pre-commit-config.yaml").read_text()
    found = {}
    for hook in text.split("- id: ")[1:]:
        (entry,) = re.findall(r"^ +entry: (\S+)", hook, re.M)
        pins = dict(re.findall(r"([\w-]+)==([\d.]+)", hook))
        assert ("language: python" in hook) == (set(pins) == {entry}), hook
        found[hook.split()[0]] = (entry, pins.get(entry, ""))
    return found


def test_every_program_is_pinned_and_a_hook():
    assert set(lint_extra()) == {"ruff", "mypy", "clang-format"}
    assert {program for program, _ in hooks().values()} == set(lint_extra())


def test_hooks_have_the_versions_of_the_extra():
    # mypy needs torch's types, and so the environment that the extra is installed in.
    expected = {name: (program, lint_extra()[program]) for name, (program, _) in hooks().items()}
    assert hooks() == expected | {"mypy": ("mypy", "")}
