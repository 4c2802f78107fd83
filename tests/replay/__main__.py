"""``python tests/replay FILE``: record the self-test's calls of kernels; ``--sources``: what to compile, and how."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import replay

if sys.argv[1:] == ["--sources"]:
    print(*replay.options(), *replay.sources())
elif len(sys.argv) == 2:
    print(f"{len(replay.record(Path(sys.argv[1])))} kernels")
else:
    raise SystemExit(__doc__)
