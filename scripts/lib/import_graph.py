"""Which package of the gateway may import which: read from pyproject.toml, and drawn.

`scripts/draw_imports` writes the drawing into docs/architecture.md.
"""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN = "<!-- drawn by scripts/draw_imports -->"
END = "<!-- end of the drawing -->"

EVERYWHERE = frozenset({"clock", "errors", "settings"})
"""Nearly all import them: not drawn."""

_toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")


def allow_list() -> dict[str, frozenset[str]]:
    """What each package may import, by its name without `gateway.`."""
    project = _toml.loads((ROOT / "pyproject.toml").read_text())
    listed: dict[str, list[str]] = project["tool"]["gateway-imports"]
    return {package: frozenset(allowed) for package, allowed in listed.items()}


def imports_of(packages: frozenset[str]) -> dict[str, frozenset[str]]:
    """What each package does import. Modules in none of `packages` stand under their own name."""
    paths = {_name_of(path): path for path in sorted((ROOT / "gateway").rglob("*.py"))}
    found: dict[str, set[str]] = {package: set() for package in packages}
    for module, path in paths.items():
        package = _package_of(module, packages)
        for imported in _imported(path, frozenset(paths)):
            other = _package_of(imported, packages)
            if imported.startswith("gateway.") and other != package:
                found.setdefault(package, set()).add(other)
    return {package: frozenset(others) for package, others in found.items()}


def _name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _package_of(module: str, packages: frozenset[str]) -> str:
    name = module.removeprefix("gateway").removeprefix(".")
    holders = [one for one in packages if name == one or name.startswith(f"{one}.")]
    return max(holders, key=len, default=name)


def _imported(path: Path, modules: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in modules else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def drawing() -> str:
    """The allow-list in Mermaid's language. An arrow that others lead to as well is left out."""
    allowed = {
        package: others - EVERYWHERE
        for package, others in allow_list().items()
        if package not in EVERYWHERE
    }
    lines = ["```mermaid", "flowchart TD"]
    for package, others in allowed.items():
        for other in sorted(others):
            if not any(other in _reached(third, allowed) for third in others - {other}):
                lines.append(f"    {package} --> {other}")
    return "\n".join([*lines, "```"])


def _reached(package: str, allowed: Mapping[str, frozenset[str]]) -> frozenset[str]:
    below = allowed.get(package, frozenset())
    return below.union(*(_reached(one, allowed) for one in below))


def drawn(page: str) -> str:
    """`page` with the drawing of now in its place. Raises ValueError where it has no place."""
    before, rest = page.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{drawing()}\n{END}{after}"
