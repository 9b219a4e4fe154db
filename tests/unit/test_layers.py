"""Who imports what: what CI's linter holds too, in a form that needs no linter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from scripts.lib import import_graph

GATEWAY = Path(__file__).resolve().parents[2] / "gateway"


@cache
def _imports(path: Path) -> tuple[str, ...]:
    return tuple(_names(ast.parse(path.read_text())))


def _names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module or ""


def _importers(module: str) -> set[str]:
    return {
        path.relative_to(GATEWAY).with_suffix("").as_posix()
        for path in GATEWAY.rglob("*.py")
        if any(one == module or one.startswith(f"{module}.") for one in _imports(path))
    }


@pytest.mark.parametrize(
    ("module", "homes"),
    [
        ("docker", {"engine/docker"}),
        ("requests", {"engine/docker"}),
        ("urllib3", {"engine/docker"}),
        ("sqlalchemy", {"store"}),
        ("sqlite3", {"store"}),
        ("simple_websocket", {"api/ws"}),
        ("flask_sock", {"api/ws"}),
        ("flask", {"app", "api", "middleware"}),
        ("werkzeug", {"api", "middleware"}),
        ("prometheus_client", {"metrics"}),
    ],
)
def test_a_library_has_its_place(module: str, homes: set[str]) -> None:
    """Errors of foreign code are translated once, where they enter."""
    importers = _importers(module)
    homeless = {
        one
        for one in importers
        if not any(one == home or one.startswith(f"{home}/") for home in homes)
    }

    assert importers
    assert homeless == set()


def test_a_package_imports_what_it_may_and_nothing_else() -> None:
    """An allow-list, since a list of what is forbidden forgets new packages. It names nothing that
    is not imported: the drawing made of it shows what is so."""
    allowed = import_graph.allow_list()

    assert import_graph.imports_of(frozenset(allowed)) == allowed


def test_no_package_needs_itself_by_a_detour() -> None:
    """Imports point downwards only."""
    left = import_graph.allow_list()
    while lowest := {package for package, below in left.items() if not below & left.keys()}:
        left = {package: below for package, below in left.items() if package not in lowest}

    assert left == {}


def test_the_top_holds_no_loose_modules() -> None:
    """A stranger who looks for a file begins here."""
    assert {path.stem for path in GATEWAY.glob("*.py")} == {
        "__init__",
        "app",
        "clock",
        "errors",
        "settings",
    }


def test_the_drawing_is_that_of_the_allow_list() -> None:
    """`scripts/draw_imports` makes it anew."""
    page = import_graph.PAGE.read_text()

    assert import_graph.drawn(page) == page
