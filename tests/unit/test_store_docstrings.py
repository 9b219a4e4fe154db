"""Whoever calls the store reads in one place what can go wrong."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

STORE = Path(__file__).resolve().parents[2] / "gateway" / "store"

_TOUCHES = ("self._database.", "transition(", "self._change(", "self._note(", "connection.execute")


def _public(tree: ast.Module) -> list[ast.FunctionDef]:
    """Functions of the module and methods of its public classes; not what is within them."""
    holders = [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]
    return [
        node
        for holder in holders
        for node in holder.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    ]


@pytest.mark.parametrize("path", sorted(STORE.glob("*.py")), ids=lambda path: path.stem)
def test_what_touches_the_database_says_what_it_raises(path: Path) -> None:
    """StoreUnavailable, or SQLAlchemyError within a transaction, where `Database` translates it."""
    source = path.read_text()

    silent = [
        node.name
        for node in _public(ast.parse(source))
        if any(word in (ast.get_source_segment(source, node) or "") for word in _TOUCHES)
        and "Raises" not in (ast.get_docstring(node) or "")
    ]

    assert silent == []
