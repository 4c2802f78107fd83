"""Run a benchmark by its name, with its options after it:

    python benchmarks                          the names
    python benchmarks solver DATA              solver/solver.py
    python benchmarks solver.profile --quick   solver/profile.py
    python benchmarks solver --help

Python puts this folder, and not the repository's root, first on its path: the benchmarks import each other, and the
package is the installed one, not the sources beside it.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

HERE = Path(__file__).parent


def names() -> dict[str, str]:
    """Every benchmark, and the first line of what its script says of itself."""
    found = {}
    for file in sorted(HERE.glob("*/*.py")):
        tree = ast.parse(file.read_text())
        if file.parent.name != "common" and any(isinstance(d, ast.FunctionDef) and d.name == "main" for d in tree.body):
            short = file.parent.name if file.stem == file.parent.name else f"{file.parent.name}.{file.stem}"
            found[short] = (ast.get_docstring(tree) or "").partition("\n")[0]
    return found


def main(argv: list[str]) -> int | None:
    if not argv or argv[0] in ("-h", "--help"):
        print(__doc__, *(f"    {name:25}{line}" for name, line in names().items()), sep="\n")
        return 0
    name = argv[0]
    if name not in names() and not name.startswith("common."):
        print(f"there is no benchmark {name}: choose from {', '.join(names())}", file=sys.stderr)
        return 2
    sys.argv[:] = [f"benchmarks {name}", *argv[1:]]
    status: int | None = importlib.import_module(name if "." in name else f"{name}.{name}").main()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
