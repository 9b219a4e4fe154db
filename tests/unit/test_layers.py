"""Imports point downwards only: what CI's linter holds, in a form that needs no linter."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

GATEWAY = Path(__file__).resolve().parents[2] / "gateway"


def _imports(folder: str) -> Iterator[tuple[Path, str]]:
    for path in sorted((GATEWAY / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield path, node.module or ""
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def _importers(module: str) -> set[str]:
    found = set()
    for path, imported in _imports("."):
        if imported == module or imported.startswith(f"{module}."):
            found.add(path.relative_to(GATEWAY).parts[0])
    return found


@pytest.mark.parametrize(
    ("module", "folder"),
    [
        ("docker", "engine"),
        ("alembic", "store"),
        ("sqlalchemy", "store"),
        ("sqlite3", "store"),
        ("simple_websocket", "ws"),
        ("flask_sock", "ws"),
        ("prometheus_client", "metrics"),
    ],
)
def test_a_library_has_one_importer(module: str, folder: str) -> None:
    """Errors of foreign code are translated once, where they enter."""
    assert _importers(module) == {folder}


@pytest.mark.parametrize(
    ("folder", "above"),
    [
        ("rest", ["gateway.ws", "gateway.app", "gateway.engine", "gateway.store", "gateway.link"]),
        ("ws", ["gateway.rest", "gateway.app", "gateway.engine", "gateway.store"]),
        ("commands", ["gateway.rest", "gateway.ws", "gateway.app", "gateway.store", "flask"]),
        ("sandboxes", ["gateway.rest", "gateway.ws", "gateway.commands", "gateway.app", "flask"]),
        ("link", ["gateway.sandboxes", "gateway.commands", "gateway.store", "flask"]),
        ("engine", ["gateway.link", "gateway.sandboxes", "gateway.store", "flask"]),
        ("store", ["gateway.engine", "gateway.link", "gateway.sandboxes", "flask"]),
        ("process", ["gateway.engine", "gateway.store", "gateway.sandboxes", "flask"]),
        (
            "metrics",
            ["gateway.engine", "gateway.link", "gateway.sandboxes", "gateway.store", "flask"],
        ),
        ("agent", ["gateway.engine", "gateway.link", "gateway.models", "gevent", "pydantic"]),
    ],
)
def test_a_folder_knows_nothing_of_what_is_above_it(folder: str, above: list[str]) -> None:
    """Each module has one reason to change."""
    broken = [
        f"{path.name} imports {imported}"
        for path, imported in _imports(folder)
        if any(imported == name or imported.startswith(f"{name}.") for name in above)
    ]

    assert broken == []
