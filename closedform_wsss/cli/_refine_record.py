"""``refine-cams.json``: how the files beside it were made, so that none made otherwise join them."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from closedform_wsss.labels._save import atomic

RECORD = "refine-cams.json"
_SUFFIXES = (".npy", ".npz", ".png")

Options = Mapping[str, Any]


def claim(output: Path, wanted: Mapping[str, Options], *, overwrite: bool) -> None:
    """Makes the folders for results and records their options, or finds them made with the same ones.

    Several processes with the same options may do this at once.

    Args:
        output: The folder of the record.
        wanted: The options of each kind of result, whose folder is ``output / kind``.
        overwrite: Delete results there that were made with other options, or with the same.

    Raises:
        OSError: A folder or file cannot be made.
        ValueError: A folder holds files of unknown origin, or made with other options.
    """
    for kind in wanted:
        (output / kind).mkdir(parents=True, exist_ok=True)
    # In this order: another process may record its options and then write results meanwhile.
    filled = [kind for kind in wanted if _results(output / kind)]
    recorded = _read(output / RECORD)
    for kind in filled:
        if kind not in recorded:
            raise ValueError(
                f"-o must be an empty folder or one of refine-cams, got files in {output / kind} without an entry in "
                f"{RECORD}: choose another folder"
            )
    for kind, options in wanted.items():
        if overwrite:
            for path in _results(output / kind):
                path.unlink()
        elif kind in recorded and recorded[kind] != options:
            raise ValueError(
                f"the {kind} in {output} were made with other options ({_difference(recorded[kind], options)}): "
                "choose another folder, or --overwrite them"
            )
    if any(recorded.get(kind) != options for kind, options in wanted.items()):
        with atomic(output / RECORD) as file:
            file.write((json.dumps({**recorded, **wanted}, indent=2) + "\n").encode())


def remove_leftovers(folder: Path, names: Collection[str]) -> None:
    """Deletes the temporary files that a killed run left of the files with these names."""
    for path in folder.iterdir():
        if path.name.startswith(".") and path.suffix == ".tmp" and path.name[1:].rsplit(".", 2)[0] in names:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _results(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix in _SUFFIXES and not path.name.startswith(".")]


def _read(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): choose another folder") from error
    if not isinstance(record, dict):
        raise ValueError(f"{path} is damaged: choose another folder")
    return record


def _difference(before: Any, now: Options) -> str:
    old = before if isinstance(before, dict) else {}
    changed = [name for name in {**old, **now} if old.get(name) != now.get(name)]
    return ", ".join(f"{name} {old.get(name)}, now {now.get(name)}" for name in changed)
