"""Formulas as MathML, written into the pages at build time: every current browser shows it without scripts or fonts."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

_converter = LatexToMathML()


def _convert(latex: str, *, block: bool) -> str:
    if r"\\" in latex and r"\begin{" not in latex:  # several lines, aligned at each &
        latex = rf"\begin{{aligned}}{latex}\end{{aligned}}"
    try:
        return _converter.convert_with_local_state(latex, displaystyle=block)
    except LatexError as error:
        raise ExtensionError(f"mathml: cannot convert {latex!r}: {error}") from error


def _visit_inline(translator: Any, node: nodes.math) -> None:
    translator.body.append(_convert(node.astext(), block=False))
    raise nodes.SkipNode


def _visit_block(translator: Any, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math-block">{_convert(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Make it the renderer of the HTML builders."""
    app.add_html_math_renderer("mathml", (_visit_inline, None), (_visit_block, None))
    app.config.html_math_renderer = "mathml"
    return {"parallel_read_safe": True, "parallel_write_safe": True}
