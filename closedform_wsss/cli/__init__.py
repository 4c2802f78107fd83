"""The command line ``closedform-wsss``.

Every command is one module with ``add_arguments(parser)``, ``run(args) -> exit status`` and, if its help needs more
text, ``EPILOG``. It is imported only when it is called. To add one, write the module and its line in ``_COMMANDS``.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from closedform_wsss.cli.common.failures import reason_of

_PROGRAM = "closedform-wsss"
_COMMANDS = {
    "demo": ("closedform_wsss.cli.demo.command", "train and solve on a photograph with scribbles; write one picture"),
    "eval": (
        "closedform_wsss.cli.eval.command",
        "measure label maps or CAMs against ground truth: mean IoU over a folder",
    ),
    "info": ("closedform_wsss.cli.info", "print versions, build options and threads"),
    "marks": (
        "closedform_wsss.cli.marks.command",
        "turn exports of annotation tools (CVAT, labelme, Label Studio, COCO) or pictures of marks into label maps",
    ),
    "matte": (
        "closedform_wsss.cli.matte.command",
        "turn an image and marks on it into an alpha matte for each class",
    ),
    "paint": (
        "closedform_wsss.cli.paint.command",
        "paint marks on a photograph in the browser and see mattes and labels follow",
    ),
    "refine-cams": (
        "closedform_wsss.cli.refine_cams.command",
        "turn a folder of class activation maps into refined ones and pseudo-labels",
    ),
    "refine-predictions": (
        "closedform_wsss.cli.refine_predictions.command",
        "align a network's predictions with the images",
    ),
    "self-label": (
        "closedform_wsss.cli.self_label.command",
        "make labels for another program's training from its predictions, the marks and the images",
    ),
}
_USER_ERROR = 2  # the status that argparse uses too
_INTERRUPTED = 130
_PIPE_CLOSED = 141  # as the shell reports a program that the closed pipe ends


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command.

    Mistakes of the user (a missing or unreadable file, wrong values) end with one line on stderr and no traceback.

    Args:
        argv: Arguments without the program's name. Default: those of the process.

    Returns:
        The exit status: 0 success, 2 a mistake in the arguments or files, 130 interrupted, 141 nobody reads the output,
        as after ``| head``. Commands may have others.

    Raises:
        SystemExit: After ``--help`` (status 0) or arguments that cannot be parsed (status 2).

    Example:
        >>> from closedform_wsss.cli import main
        >>> main(["matte", "no-such-image.png", "no-marks.png", "-o", "out"])
        2
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    args = _parser(arguments).parse_args(arguments)
    try:
        with _every_name_printable():
            status: int = args.run(args)
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python writes the rest when it ends
        return _PIPE_CLOSED
    except (OSError, ValueError) as error:
        return _fail(args.command, reason_of(error))
    except KeyboardInterrupt:
        print(f"{_PROGRAM} {args.command}: interrupted", file=sys.stderr)
        return _INTERRUPTED
    return status


def _open_closed_streams() -> None:
    """Python has None for a stream that is closed, as by ``>&-`` of a shell, or missing, as in a program of windows."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))


@contextmanager
def _every_name_printable() -> Iterator[None]:
    """Escapes what the encoding of stdout lacks, as Python does on stderr: a command must not fail after its work
    because the report names a file."""
    stream: Any = sys.stdout
    if not isinstance(stream, io.TextIOWrapper) or stream.errors != "strict":
        yield
        return
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors="strict")


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM, description="Closed-form matting and weakly-supervised segmentation."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, (module_name, summary) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
        if name == called:
            module = importlib.import_module(module_name)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
            command.epilog = getattr(module, "EPILOG", None)
            command.formatter_class = argparse.RawDescriptionHelpFormatter
    return parser


def _fail(command: str, message: str) -> int:
    print(f"{_PROGRAM} {command}: {' '.join(message.split())}", file=sys.stderr)
    return _USER_ERROR
