"""Who may reach servers in a sandbox without a key, and what those are told that their host is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from gateway.sandboxes.spec.sandbox_spec import option_of
from gateway.store.rows import SandboxRow

MOST_KNOWN = 10_000


@dataclass(frozen=True)
class PortRule:
    """`key`: whoever has the owner's key, or a token of the port. `open`: everybody who knows the
    sandbox's id. `token`: whoever has the sandbox's traffic token."""

    access: Literal["key", "open", "token"] = "key"
    masked_host: str | None = None
    """`${PORT}` in it stands for the port."""


USUAL = PortRule()


class PortRules:
    """Knows the rules of sandboxes, which never change. `row_of` asks the store."""

    def __init__(self, row_of: Callable[[str], SandboxRow | None]) -> None:
        self._row_of = row_of
        self._known: dict[str, PortRule] = {}

    def of(self, sandbox_id: str) -> PortRule:
        """That of a sandbox, ended or not; the usual one where there is none. Raises
        StoreUnavailable."""
        known = self._known.get(sandbox_id)
        if known is not None:
            return known
        row = self._row_of(sandbox_id)
        if row is None or row.state in ("pooling", "pooled"):
            return USUAL
        notes = option_of(row, "notes")
        rule = PortRule(notes.get("ports", "key"), notes.get("masked_host"))
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known[sandbox_id] = rule
        return rule
