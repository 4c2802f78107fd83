"""Imports run one way: a package imports from those below it only. Only the operators import the reference
implementations, which they fall back on, and the self-test, which compares both."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import closedform_wsss

ROOT = Path(closedform_wsss.__file__).parent
# From the ground up. Packages of one floor do not import each other.
FLOORS = (
    ("_C", "_openmp", "_plain", "_warn"),
    ("_autocast", "_checks", "_common", "_scatter_sums", "_resize"),
    ("_arrays", "_cuda", "_mark_spacing", "_reference", "_threshold_scores"),
    ("_build",),
    ("_ops",),
    ("laplacian", "lattice", "superpixels"),
    ("solver",),
    ("functional",),
    ("io", "metrics", "nn"),
    ("_matte", "cams", "training"),
    ("cli",),
    ("__main__", "selftest"),
)
FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}


def imports() -> list[tuple[str, str]]:
    """Importing module and imported one, dotted and without the package's name; imports inside functions too."""
    pairs = []
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        importer = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
                names = [f"{node.module}.{alias.name}" for alias in node.names] or [node.module]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            for name in names:
                package, _, rest = name.partition(".")
                if package == "closedform_wsss" and rest:
                    pairs.append((importer, rest))
    return pairs


def room(module: str) -> str:
    return module.split(".")[0]


IMPORTS = [(a, b) for a, b in imports() if a]  # the package itself imports all of its public parts


def test_every_room_has_its_floor() -> None:
    rooms = {room(a) for a, _ in IMPORTS}
    assert rooms <= FLOOR.keys()
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()} <= FLOOR.keys()


@pytest.mark.parametrize("floor", range(len(FLOORS)))
def test_no_import_goes_up_or_aside(floor: int) -> None:
    own = {(a, b) for a, b in IMPORTS if room(a) in FLOORS[floor] and room(b) in FLOOR and room(a) != room(b)}
    assert not {(a, b) for a, b in own if FLOOR[room(b)] >= floor}


def test_only_operators_and_the_self_test_import_reference_implementations() -> None:
    assert {room(a) for a, b in IMPORTS if room(b) == "_reference"} == {"_ops", "_reference", "selftest"}


def test_no_module_imports_itself_round_a_circle() -> None:
    modules = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.rglob("*.py")}
    modules |= {name.removesuffix(".__init__") for name in modules}
    graph: dict[str, set[str]] = {}
    for importer, imported in IMPORTS:
        target = imported if imported in modules else imported.rpartition(".")[0]
        if target in modules and target != importer:
            graph.setdefault(importer, set()).add(target)

    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path, module))
        if module not in done:
            for other in sorted(graph.get(module, ())):
                visit(other, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())
