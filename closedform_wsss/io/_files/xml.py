"""XML without document type declarations."""

from __future__ import annotations

import os
from xml.etree import ElementTree
from xml.parsers import expat

from closedform_wsss.io._types import PathLike


def parse_xml(path: PathLike, fn: str) -> ElementTree.Element:
    """Parses a file. It refuses document type declarations, because only these give entities and outside files.

    Raises:
        OSError: The file is missing or may not be read.
        ValueError: The file is not XML, or has such a declaration.
    """

    def refuse(*_: object) -> None:
        raise ValueError("a document type declaration, which is refused")

    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    with open(path, "rb") as file:
        try:
            parser.ParseFile(file)
        except (expat.ExpatError, LookupError, ValueError) as error:  # among them: encodings that expat cannot read
            raise ValueError(f"{fn}: path must hold XML, got {os.fspath(path)!r} ({error})") from error
    return builder.close()
