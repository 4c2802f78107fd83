"""A photograph of 12 megapixels through the command line, files and all."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from closedform_wsss.io import IGNORE_INDEX
from solver.inputs import PHOTOS, photograph, scribble

# The command, as its entry point calls it.
PROGRAM = [sys.executable, "-c", "import sys; from closedform_wsss.cli import main; sys.exit(main())"]
QUALITY = 95  # of the JPEG file


def measure_large(height: int, width: int, threads: int) -> dict[str, Any]:
    """Seconds on the wall and peak memory of ``closedform-wsss matte photo.jpg scribbled.png -o out``."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photo, scribbled = folder / "photo.jpg", folder / "scribbled.png"
        Image.fromarray(photograph(PHOTOS[0], height, width)).save(photo, quality=QUALITY)
        image = np.array(Image.open(photo))  # as it is after compression: the copy differs in the strokes alone
        marks = scribble(image, 2)
        marked = marks != IGNORE_INDEX
        image[marked] = 255 * marks[marked, None]  # black strokes and white ones
        Image.fromarray(image).save(scribbled, compress_level=1)
        files = {"photo_bytes": photo.stat().st_size, "scribbled_bytes": scribbled.stat().st_size}
        del image, marks, marked

        command = ["matte", str(photo), str(scribbled), "-o", str(folder / "out"), "--threads", str(threads)]
        with (folder / "log").open("w+") as log:
            started = time.perf_counter()
            process = subprocess.Popen([*PROGRAM, *command], cwd=folder, stdout=log, stderr=subprocess.STDOUT)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
            log.seek(0)
            lines = log.read().splitlines()
        # At least what this process held when it started the other, which is far less.
        peak = usage.ru_maxrss if sys.platform == "darwin" else usage.ru_maxrss * 1024
        solved = next((line for line in lines if line.startswith("solved ")), "")
        return files | {
            "height": height,
            "width": width,
            "status": process.returncode,
            "seconds": seconds,
            "user_s": usage.ru_utime,
            "system_s": usage.ru_stime,
            "peak_bytes": peak,
            "solved": solved,
            # Paths are of a folder that is gone.
            "last_line": "" if solved else (lines[-1] if lines else "").replace(name, "FOLDER"),
        }
