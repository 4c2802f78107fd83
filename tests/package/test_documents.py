"""What the documents beside the package refer to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import ROOT

import closedform_wsss

PAGES = [*ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md", ROOT / "examples" / "cams" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_markdown(page):
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if not link.startswith("http") and not (page.parent / link).exists()]
    assert not missing


def test_the_readme_leads_to_every_arrival():
    """The pages under "What do you have?" of the documentation, and the two that everybody needs."""
    index = (ROOT / "docs" / "index.rst").read_text()
    arrivals = re.search(r":caption: What do you have\?\n(?: +:.*\n)*\n((?: +\w+\n)+)", index)[1].split()
    links = re.findall(r"\]\(docs/(\w+)\.rst\)", (ROOT / "README.md").read_text())
    assert len(arrivals) > 5
    assert not {*arrivals, "files", "cli", "choosing"} - set(links)


def test_pages_that_commands_name():
    titles = {page.read_text().partition("\n")[0] for page in (ROOT / "docs").glob("*.rst")}
    code = "".join(path.read_text() for path in (ROOT / "closedform_wsss" / "cli").rglob("*.py"))
    named = re.findall(r'\bpage\s+"([^"]+)"\s+of the documentation', code)
    assert named
    assert set(named) <= titles


def test_files_that_pages_name():
    """Scripts and tests in double backticks or in commands."""
    pattern = re.compile(r"\b(?:benchmarks|examples|tests|csrc|closedform_wsss)/[\w/]+\.(?:py|cpp|cu|h|sh|md)\b")
    # What the benchmarks write is there once they have run.
    named = {
        name for page in (ROOT / "docs").glob("*.rst") for name in pattern.findall(page.read_text())
        if "results/" not in name
    }  # fmt: skip
    assert named
    placeholders = {name for name in named if Path(name).stem in ("x", "test_x")}
    assert not [name for name in sorted(named - placeholders) if not (ROOT / name).exists()]


def test_version_of_citation():
    text = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (\S+)$", text, re.M).group(1) == closedform_wsss.__version__
