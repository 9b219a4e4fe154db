"""Ends sandboxes that have written more than they may."""

from __future__ import annotations

from gateway.sandboxes.ending.removal import Removal
from gateway.store.sandboxes import SandboxStore


class FullDisks:
    """What becomes of a sandbox whose disk is too full, however it is used."""

    def __init__(self, store: SandboxStore, removal: Removal) -> None:
        self._store = store
        self._removal = removal

    def end(self, sandbox_id: str, why: str) -> None:
        """Remove it, unless somebody does already. Raises StoreUnavailable and the engine's
        errors."""
        row = self._store.get(sandbox_id)
        if row is not None and self._removal.claim(sandbox_id, "disk", why):
            self._removal.carry_out(row)
