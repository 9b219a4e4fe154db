"""Which tests go to one process: those that share something, and no more."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.support.spreading import APART, scope_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("tests/unit/test_a.py::test_a[x-y]", "tests/unit/test_a.py"),
        ("tests/unit/test_a.py::test_b", "tests/unit/test_a.py"),
        ("tests/faults/test_link.py::test_a[exec]", "tests/faults/test_link.py exec"),
        ("tests/faults/test_link.py::test_a[auto-1]", "tests/faults/test_link.py auto"),
        ("tests/faults/test_link.py::test_a[executable]", "tests/faults/test_link.py"),
        (
            "tests/faults/test_engine.py::test_a[x::y]",
            "tests/faults/test_engine.py::test_a",
        ),
    ],
)
def test_a_test_goes_with_what_shares_its_fixtures(nodeid: str, scope: str) -> None:
    """Else each process would start its own gateway of a module."""
    assert scope_of(nodeid) == scope


@pytest.mark.parametrize("path", sorted(APART))
def test_what_stands_apart_shares_nothing(path: str) -> None:
    """A fixture of the module's would be made once in each process, for one or two tests."""
    tree = ast.parse((ROOT / path).read_text())

    decorators = [ast.unparse(d) for f in ast.walk(tree) for d in getattr(f, "decorator_list", [])]
    assert not [d for d in decorators if "fixture" in d and "module" in d]
