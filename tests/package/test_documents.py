"""What the documents beside the package refer to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from helpers import ROOT

import closedform_wsss
from closedform_wsss import MattingLaplacian
from closedform_wsss.functional import closed_form_loss, solve_matting

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


def test_messages_of_the_solver_are_on_the_page():
    """As it raises them; the page has ... in place of what varies."""
    image, marks = torch.rand(1, 3, 8, 9), torch.full((1, 8, 9), 255)
    marks[0, 2, 2], marks[0, 4, 4] = 0, 2
    trimap = torch.tensor([0, 128, 255]).repeat(1, 8, 3)
    page = (ROOT / "docs" / "troubleshooting.rst").read_text()
    quoted = [re.escape(text).replace(r"\.\.\.", ".*") for text in re.findall("``([^`]+)``", page)]
    for call in (
        lambda: solve_matting(marks[:, :4], image),
        lambda: solve_matting(trimap, image),
        lambda: solve_matting(torch.rand(1, 3, 8, 9), image, num_classes=2),
        lambda: solve_matting(marks.clamp(max=2), image),
        lambda: solve_matting(marks, image, initial=torch.rand(1, 2, 8, 9)),
        lambda: solve_matting(marks, image, mark_weight=torch.ones(8, 9)),
        lambda: solve_matting(torch.full_like(marks, 255), image),
        lambda: MattingLaplacian(image) @ torch.rand(1, 2, 8, 8),
        lambda: closed_form_loss(torch.rand(1, 3, 8, 9), marks, image, form="other"),
    ):
        with pytest.raises(ValueError) as caught:
            call()
        message = str(caught.value).partition(": ")[2]
        assert any(len(text) > 20 and re.match(text, message) for text in quoted), message


def test_version_of_citation():
    text = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (\S+)$", text, re.M).group(1) == closedform_wsss.__version__
