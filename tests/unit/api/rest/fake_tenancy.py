"""Who owns what, in memory."""

from __future__ import annotations

from typing import Any


class FakeTenancy:
    """Owners and generations in dicts, and which of the sandboxes have ended."""

    def __init__(self) -> None:
        self.owners: dict[str, str] = {}
        self.generations: dict[str, str] = {}
        self.ended: set[str] = set()

    def owner_of(self, sandbox_id: str) -> str | None:
        return self.owners.get(sandbox_id)

    def generation_of(self, sandbox_id: str) -> str | None:
        return self.generations.get(sandbox_id)

    def generations_of(self, sandbox_ids: Any) -> dict[str, str]:
        return {one: self.generations[one] for one in sandbox_ids if one in self.generations}

    def live_generations(self) -> dict[str, str]:
        return {one: made for one, made in self.generations.items() if self._lives(one)}

    def begin_generation(self, sandbox_id: str, generation: str) -> str | None:
        if not self._lives(sandbox_id):
            return None
        return self.generations.setdefault(sandbox_id, generation)

    def renew_generation(self, sandbox_id: str, generation: str) -> bool:
        if not self._lives(sandbox_id):
            return False
        self.generations[sandbox_id] = generation
        return True

    def _lives(self, sandbox_id: str) -> bool:
        return sandbox_id in self.owners and sandbox_id not in self.ended
