"""What is sent into sandboxes: complete, standard library only, readable by Python 3.7."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import gateway
from gateway.agent.sudo import listener
from gateway.agent.surroundings import GIVEN
from gateway.link import bundle
from gateway.protocol import frames
from gateway.schemas.models.sandboxes import RESERVED_VARIABLES_PREFIX

GATEWAY = Path(gateway.__file__).parent
SOURCES = sorted(
    path
    for package in ("agent", "protocol")
    for path in (GATEWAY / package).rglob("*.py")
    if path.name != "__init__.py"
)
LINES = 250


def _name(path: Path) -> str:
    """From `gateway` on."""
    return ".".join(path.relative_to(GATEWAY).with_suffix("").parts)


def _named(node: ast.ImportFrom, importer: str) -> str:
    """The module or package that an import takes names from: `gateway.…` or a foreign one."""
    if not node.level:
        return node.module or ""
    above = ["gateway", *importer.split(".")][: -node.level]
    return ".".join([*above, *([node.module] if node.module else [])])


@pytest.mark.parametrize("source", SOURCES, ids=_name)
def test_the_agents_source_is_python_3_7(source: Path) -> None:
    """It runs on whatever python3 an image has."""
    ast.parse(source.read_text(), feature_version=(3, 7))


@pytest.mark.parametrize("source", SOURCES, ids=_name)
def test_the_agent_imports_only_the_standard_library(source: Path) -> None:
    """Nothing else is there, and site-packages are switched off (-S). What runs code in contexts
    is a python3 of its own, where the image has IPython."""
    beside = {"IPython", "matplotlib", "traitlets"} if "agent.contexts." in _name(source) else set()
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [_named(node, _name(source))]
        else:
            continue
        for module in modules:
            if not f"{module}.".startswith(("gateway.agent.", "gateway.protocol.")):
                assert module.split(".")[0] in sys.stdlib_module_names | beside, module


@pytest.mark.parametrize("source", SOURCES, ids=_name)
def test_no_module_of_the_agent_is_long(source: Path) -> None:
    """Whoever looks for something reads one of them, not half the agent."""
    assert len(source.read_text().splitlines()) <= LINES


def test_the_bundle_holds_every_module_after_those_it_imports() -> None:
    """They are executed in this order; a forgotten one would fail in the sandbox only."""
    modules = bundle.OF_ROOT + bundle.FILE_MODULES + bundle.CONTEXT_MODULES
    assert set(modules) == {_name(path) for path in SOURCES} - {"agent.entry"}
    for position, name in enumerate(modules):
        before = {f"gateway.{module}" for module in modules[:position]}
        tree = ast.parse((GATEWAY / f"{name.replace('.', '/')}.py").read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = _named(node, name)
                if module.startswith("gateway."):
                    parts = {f"{module}.{alias.name}" for alias in node.names}
                    assert module in before or parts <= before, f"{name} needs {module}"


def test_without_its_words_every_line_keeps_its_number() -> None:
    """Comments and docstrings are a third of what each start of an agent sends; a traceback from
    a sandbox still names the line."""
    for source in SOURCES:
        text = source.read_text()
        sent = bundle.without_words(text)
        assert [_code(node) for node in ast.walk(ast.parse(sent)) if _code(node)] == [
            _code(node) for node in ast.walk(ast.parse(text)) if _code(node)
        ], source
    assert len(bundle.bundle()) < 0.75 * sum(len(source.read_bytes()) for source in SOURCES)


def _code(node: ast.AST) -> tuple[int, int, str] | None:
    """A statement by its place; nothing for one that only holds words."""
    if not isinstance(node, ast.stmt):
        return None
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return None
    return node.lineno, node.col_offset, type(node).__name__


def test_only_the_daemon_knows_what_only_root_has() -> None:
    """The agents of users do not have these modules."""
    assert {*bundle.OF_ROOT} - {*bundle.MODULES} == {*bundle.ROOT_MODULES}
    for name in {*bundle.MODULES} - {"agent.daemon"}:
        assert ".sudo" not in (GATEWAY / f"{name.replace('.', '/')}.py").read_text(), name


def test_the_program_of_the_image_is_python_3_7() -> None:
    """As the agent it asks: an operator may copy it into images of another age."""
    source = (GATEWAY.parent / "scripts/image/sudo").read_text()
    ast.parse(source, feature_version=(3, 7))
    assert f'AGENT = "\\0{listener.NAME}"' in source


@pytest.mark.parametrize(
    ("packed", "modules"),
    [(bundle.bundle, bundle.MODULES), (bundle.bundle_for_root, bundle.OF_ROOT)],
)
def test_the_bundle_can_be_unpacked(packed: Callable[[], bytes], modules: tuple[str, ...]) -> None:
    """Its sizes are what the bootstrap reads by."""
    _unpacks(packed(), modules)


def _unpacks(packed: bytes, modules: tuple[str, ...]) -> None:
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
    assert tuple(names) == modules


def test_the_sockets_name_carries_the_protocol() -> None:
    """A gateway of another protocol must start its own agent and not talk to this one."""
    assert bundle.SOCKET_NAME.endswith(f"-{frames.PROTOCOL}")


def test_no_user_may_write_what_the_agent_reads_as_given() -> None:
    """The models know nothing of the agent, so the prefix is written twice."""
    assert GIVEN == RESERVED_VARIABLES_PREFIX
