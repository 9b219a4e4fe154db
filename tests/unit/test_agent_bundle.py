"""What is sent into sandboxes: complete, standard library only, readable by Python 3.7."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import gateway.agent
from gateway.agent import frames
from gateway.agent.surroundings import GIVEN
from gateway.link import bundle
from gateway.schemas.models.sandboxes import RESERVED_VARIABLES_PREFIX

AGENT = Path(gateway.agent.__file__).parent
SOURCES = sorted(path for path in AGENT.glob("*.py") if path.name != "__init__.py")


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_agents_source_is_python_3_7(source: Path) -> None:
    """It runs on whatever python3 an image has."""
    ast.parse(source.read_text(), feature_version=(3, 7))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_the_agent_imports_only_the_standard_library(source: Path) -> None:
    """Nothing else is there, and site-packages are switched off (-S)."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            modules = [node.module or ""]
        else:
            continue
        for module in modules:
            assert module.split(".")[0] in sys.stdlib_module_names, module


def test_the_bundle_holds_every_module_after_those_it_imports() -> None:
    """They are executed in this order; a forgotten one would fail in the sandbox only."""
    assert set(bundle.MODULES) == {path.stem for path in SOURCES} - {"entry"}
    for position, name in enumerate(bundle.MODULES):
        tree = ast.parse((AGENT / f"{name}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                needed = [node.module] if node.module else [alias.name for alias in node.names]
                assert set(needed) <= set(bundle.MODULES[:position]), f"{name} needs {needed}"


def test_the_bundle_can_be_unpacked() -> None:
    """Its sizes are what the bootstrap reads by."""
    packed = bundle.bundle()
    entry_size, rest_size = int(packed[:8]), int(packed[8:16])

    assert len(packed) == 16 + entry_size + rest_size
    rest = packed[16 + entry_size :]
    names = []
    while rest:
        head, rest = rest.split(b"\n", 1)
        name, size = head.decode().split()
        compile(rest[: int(size)], name, "exec")
        names.append(name)
        rest = rest[int(size) :]
    assert tuple(names) == bundle.MODULES


def test_the_sockets_name_carries_the_protocol() -> None:
    """A gateway of another protocol must start its own agent and not talk to this one."""
    assert bundle.SOCKET_NAME.endswith(f"-{frames.PROTOCOL}")


def test_no_user_may_write_what_the_agent_reads_as_given() -> None:
    """The models know nothing of the agent, so the prefix is written twice."""
    assert GIVEN == RESERVED_VARIABLES_PREFIX
