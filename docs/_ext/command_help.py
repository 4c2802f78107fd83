"""``.. command-help:: matte``: what ``closedform-wsss matte --help`` prints."""

from __future__ import annotations

import contextlib
import io
import os
from typing import Any
from unittest import mock

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from closedform_wsss.cli import main


class CommandHelp(SphinxDirective):
    """The help of one command, or of the program if none is named."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        printed = io.StringIO()
        plain = mock.patch.dict(os.environ, {"COLUMNS": "96", "NO_COLOR": "1"})
        with plain, contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            main([*self.arguments, "--help"])
        return [nodes.literal_block(printed.getvalue(), printed.getvalue(), language="none")]


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
