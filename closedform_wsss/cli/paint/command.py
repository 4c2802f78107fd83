"""``closedform-wsss paint``: a page in the browser on which one paints marks and sees the result."""

from __future__ import annotations

import argparse
import sys
import threading
import webbrowser
from pathlib import Path

from closedform_wsss import io
from closedform_wsss.cli.common.arguments import add_picture_arguments, positive_int
from closedform_wsss.cli.common.caught_warnings import caught_warnings
from closedform_wsss.cli.paint.server import PaintServer

_LOCAL = "127.0.0.1"

EPILOG = """\
Paint a stroke on the background and one on the object. After each stroke the page shows the result at a reduced
size. Its downloads have the size of IMAGE: cut-out, alpha, labels and marks, all PNG. The marks are a label map, for
the commands matte and eval and for closedform_wsss.io.read_marks.

The page needs no network, and only this machine reaches it, unless --host is given. Ctrl+C ends the command.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    add = parser.add_argument
    add("image", metavar="IMAGE", type=Path, help="the photograph")
    add_picture_arguments(parser, of="the image")
    add(
        "--preview",
        metavar="LONGEST_SIDE",
        type=positive_int,
        default=512,
        help="pixels of the longest side at which strokes are solved while painting (%(default)s)",
    )
    add(
        "--host",
        default=_LOCAL,
        help="address to listen on (%(default)s); 0.0.0.0 lets a phone in the same network paint, and everybody else "
        "there see the photograph",
    )
    add("--port", type=_port, default=0, help="port to listen on (default: a free one)")
    add("--no-browser", action="store_true", help="print the address and open no browser")


def run(args: argparse.Namespace) -> int:
    """Serves the page until Ctrl+C, and returns the exit status."""
    if not args.host:  # the socket would listen on every address
        raise ValueError("--host must be an address of this machine, got an empty text: 0.0.0.0 stands for all of them")
    with caught_warnings() as warned:
        image = io.read_image(args.image, orientation=args.orientation, window=args.window)
    for text in warned:
        print(f"closedform-wsss paint: warning: {text}", file=sys.stderr)
    try:
        made = PaintServer((args.host, args.port), image, args.image.stem, args.preview)
    except OSError as error:
        raise ValueError(
            f"--host and --port must be an address of this machine that is free, got {args.host} and {args.port} "
            f"({error.strerror or error})"
        ) from error
    with made as server:
        print(f"painting on {args.image}: open {server.url} in a browser; Ctrl+C ends", flush=True)
        if not args.no_browser:
            # A browser in the terminal returns when it is closed, so it must not keep the server from answering.
            threading.Thread(target=webbrowser.open, args=(server.url,), daemon=True).start()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return 0


def _port(text: str) -> int:
    """0 to 65535."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to 65535, got {text!r}")
    return int(text)
