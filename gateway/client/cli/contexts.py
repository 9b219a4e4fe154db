"""Gateways by name, in ~/.config/sandbox-gateway/config.toml.

    current = "work"

    [contexts.work]
    url = "https://sandboxes.example"
    key = "…"

Of TOML the file has strings and tables only: Python 3.10 cannot read more by itself.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from ..api_error import SandboxGatewayError
from ..core.local_files import replaced

_TABLE = re.compile(r"\[contexts\.([A-Za-z0-9_-]+)\]")
_VALUE = re.compile(r"([a-z]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\")\s*(?:#.*)?")

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class BadConfiguration(SandboxGatewayError):
    """The file of contexts cannot be read."""


@dataclass
class Contexts:
    """All contexts, by name: `url` and perhaps `key`. `current` is that in use."""

    current: str | None = None
    known: dict[str, dict[str, str]] = field(default_factory=dict)


def path() -> Path:
    """Where they stand."""
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "sandbox-gateway" / "config.toml"


def load() -> Contexts:
    """What the file says; nothing where there is none. Raises BadConfiguration."""
    try:
        text = path().read_text(encoding="utf-8")
    except FileNotFoundError:
        return Contexts()
    except (OSError, ValueError) as error:
        raise BadConfiguration(f"{path()}: {error}") from None
    found = Contexts()
    table: dict[str, str] | None = None
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        begins, says = _TABLE.fullmatch(line), _VALUE.fullmatch(line)
        if begins:
            table = found.known.setdefault(begins[1], {})
        elif says and table is not None:
            table[says[1]] = _text(says[2], number)
        elif says and says[1] == "current":
            found.current = _text(says[2], number)
        else:
            raise BadConfiguration(f"{path()}: line {number} is not understood")
    return found


def _text(quoted: str, number: int) -> str:
    try:
        return str(json.loads(quoted))
    except ValueError:
        raise BadConfiguration(f"{path()}: line {number} is not understood") from None


def save(contexts: Contexts) -> None:
    """Write them, for this user alone: they have keys. Raises OSError."""
    lines = [] if contexts.current is None else [f"current = {json.dumps(contexts.current)}", ""]
    for name, values in sorted(contexts.known.items()):
        lines += [f"[contexts.{name}]", *(f"{k} = {json.dumps(v)}" for k, v in values.items()), ""]
    path().parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with replaced(path(), mode=0o600) as file:
        file.write("\n".join(lines).encode())
