"""The examples of the documentation run as a reader pastes them: what they name is defined where the reader sees it.

Sphinx runs the doctests themselves, but with names that are imported for all pages, and with blocks that are hidden.
Those of docstrings have the names of their module there, too.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import re
import textwrap
from pathlib import Path

import pytest
from helpers import ROOT

import closedform_wsss
from closedform_wsss import cams, functional, io, metrics, nn, training

OUTLINES = ("index", "migrating")  # what a reader has already: a network, a data set, the code of another library
PAGES = [page for page in sorted((ROOT / "docs").glob("*.rst")) if page.stem not in OUTLINES]
HIDDEN = re.compile(r"^( *)\.\. (?:doctest|test\w+)::.*\n\1 +:hide:\n(?:\1 +.*\n|\s*\n)*", re.M)
BLOCK = re.compile(
    r"^( *)\.\. code-block:: python\n\n(?P<code>(?:\1 +.*\n|\s*\n)+)|(?P<session>(?:^ *(?:>>>|\.\.\.)(?: .*)?\n)+)",
    re.M,
)


def blocks(text: str) -> list[str]:
    """The visible Python of a page."""
    found = BLOCK.finditer(HIDDEN.sub("", text))
    return [
        textwrap.dedent(block["code"])
        if block["code"]
        else re.sub(r"^ *(?:>>>|\.\.\.) ?", "", block["session"], flags=re.M)
        for block in found
    ]


def undefined(text: str) -> set[str]:
    """Names that no visible block up to their own defines."""
    known, missing = set(dir(builtins)), set()
    for block in blocks(text):
        nodes = list(ast.walk(ast.parse(block)))
        used = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                known.add(node.id)
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                known |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                known.add(node.name)
            elif isinstance(node, ast.arg):
                known.add(node.arg)
        missing |= used - known
    return missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_names_are_defined_where_the_reader_sees_it(page: Path) -> None:
    assert undefined(page.read_text()) == set()


def docstrings() -> dict[str, str]:
    """Those of the public functions and classes, and of the public members of these classes."""
    found = {}
    for module in (closedform_wsss, functional, nn, io, training, metrics, cams):
        for name in module.__all__:
            thing = getattr(module, name)
            members = vars(thing).items() if inspect.isclass(thing) else ()
            for own, of in ((name, thing), *((f"{name}.{key}", value) for key, value in members if key[0] != "_")):
                if callable(of) or isinstance(of, (property, classmethod)):
                    found[own] = inspect.getdoc(of) or ""
    return found


def test_names_are_defined_in_the_example_of_a_docstring() -> None:
    texts = docstrings()
    assert sum(">>>" in text for text in texts.values()) > 90
    assert {name: missing for name, text in texts.items() if (missing := undefined(text))} == {}


def test_hidden_blocks_define_nothing() -> None:
    page = ".. doctest::\n   :hide:\n\n   >>> a = 1\n\n>>> b = a\n\n.. code-block:: python\n\n   c = b + d\n"
    assert undefined(page) == {"a", "d"}
