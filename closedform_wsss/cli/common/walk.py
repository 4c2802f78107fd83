"""Walks through a folder and its sub-folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As ``os.walk``, sorted and without hidden files and folders: the caller may shorten the list of folders.

    Links to folders elsewhere are followed, each folder once. Those to folders inside of ``root``, or around it, would
    give files twice.
    """
    top = root.resolve()
    seen = {top}
    for where, below, names in os.walk(root, followlinks=True):
        kept = []
        for name in sorted(below):
            path = Path(where, name)
            target = path.resolve()
            inside = path.is_symlink() and (top in target.parents or target in top.parents)
            if not (name.startswith(".") or inside or target in seen):
                seen.add(target)
                kept.append(name)
        below[:] = kept
        yield Path(where), below, sorted(name for name in names if not name.startswith("."))
