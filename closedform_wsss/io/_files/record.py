"""A file such as ``refine-cams.json``: the options of the results beside it, so that other results are not mixed in."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from closedform_wsss.io._files.save import atomic, name_of_temporary

_SUFFIXES = (".npy", ".npz", ".png")

Options = Mapping[str, Any]


@dataclass(frozen=True)
class Caller:
    """What errors call the folder, and the option that deletes what is in it."""

    folder: str = "-o"
    overwrite: str = "--overwrite"


def claim(record: Path, wanted: Mapping[str, Options], *, overwrite: bool, caller: Caller = Caller()) -> None:
    """Makes the folders for results and records their options, or checks that they were made with the same options.

    Several processes with the same options may call this at the same time.

    Args:
        record: The file, named after the command, in the folder of all results.
        wanted: The options of each kind of result. Its folder is beside the record.
        overwrite: Delete all results in these folders first.
        caller: A command, or a function.

    Raises:
        OSError: A folder or file cannot be made.
        ValueError: The record is a file of another program, or a folder holds files of unknown origin, or files made
            with other options.
    """
    output = record.parent
    if not _is_record(_read(record)):  # such as a file of annotations: it may be what the command reads
        raise ValueError(
            f"{caller.folder} must not hold a {record.name} of another program, got {record}: choose another folder"
        )
    for kind in wanted:
        (output / kind).mkdir(parents=True, exist_ok=True)
    # In this order, because another process may record its options and write results in the meantime.
    filled = [kind for kind in wanted if _results(output / kind)]
    recorded = _read(record)
    for kind in filled:
        if kind not in recorded:
            raise ValueError(
                f"{caller.folder} must be an empty folder or one of {record.stem}, got files in {output / kind} "
                f"without an entry in {record.name}: choose another folder"
            )
    for kind, options in wanted.items():
        if overwrite:
            for path in _results(output / kind):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        elif kind in recorded and recorded[kind] != options:
            raise ValueError(
                f"the {kind} in {output} were made with other options ({_difference(recorded[kind], options)}): "
                f"choose another folder, or {caller.overwrite} them"
            )
    if any(recorded.get(kind) != options for kind, options in wanted.items()):
        with atomic(record) as file:
            file.write((json.dumps({**recorded, **wanted}, indent=2) + "\n").encode())


def release(record: Path, kinds: Collection[str]) -> None:
    """Forgets the options of kinds without any result, so that another run may choose others."""
    recorded = _read(record)
    kept = {kind: how for kind, how in recorded.items() if kind not in kinds or _results(record.parent / kind)}
    if kept == recorded:
        return
    if not kept:
        record.unlink(missing_ok=True)
        return
    with atomic(record) as file:
        file.write((json.dumps(kept, indent=2) + "\n").encode())


def remove_leftovers(folder: Path, names: Collection[str]) -> None:
    """Deletes temporary files and folders of the results with these names, left by a killed run."""
    own = set(map(name_of_temporary, names))
    for path in folder.iterdir():
        if path.name.startswith(".") and path.suffix == ".tmp" and path.name[1:].rsplit(".", 2)[0] in own:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
                continue
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _results(folder: Path) -> list[Path]:
    return [
        path
        for path in folder.iterdir()
        if (path.suffix in _SUFFIXES or path.is_dir()) and not path.name.startswith(".")
    ]


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


def _is_record(content: dict[str, Any]) -> bool:
    return all(isinstance(options, dict) and "closedform_wsss" in options for options in content.values())


def _difference(before: Any, now: Options) -> str:
    old = before if isinstance(before, dict) else {}
    changed = [name for name in {**old, **now} if old.get(name) != now.get(name)]
    return ", ".join(f"{name} {old.get(name)}, now {now.get(name)}" for name in changed)
