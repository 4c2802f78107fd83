"""``.. result-tables:: ../benchmarks/results/kernels.md``: a Markdown file, or a sentence where there is none yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docutils import nodes
from myst_parser.parsers.sphinx_ import MystParser
from sphinx.application import Sphinx
from sphinx.directives.other import Include


class ResultTables(Include):
    """Include a file that a script writes, if it was run."""

    def run(self) -> list[nodes.Node]:
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        if not Path(path).is_file():
            text = f"No results are stored in {Path(path).name} yet."
            return [nodes.paragraph("", "", nodes.emphasis(text, text))]
        self.options["parser"] = MystParser
        return list(super().run())


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("result-tables", ResultTables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
