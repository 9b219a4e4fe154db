"""What is promised of whoever keeps owners and tokens' generations: the store, and what stands in
for it. Each takes one that knows the sandboxes `a` and `b`, which are alice's."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Protocol


class Tenancy(Protocol):
    """`Owners` and `TokenGenerations` of `gateway.identity.access`."""

    def owner_of(self, sandbox_id: str) -> str | None: ...

    def generation_of(self, sandbox_id: str) -> str | None: ...

    def generations_of(self, sandbox_ids: Collection[str]) -> dict[str, str]: ...

    def live_generations(self) -> dict[str, str]: ...

    def begin_generation(self, sandbox_id: str, generation: str) -> str | None: ...

    def renew_generation(self, sandbox_id: str, generation: str) -> bool: ...


def the_first_generation_stays_until_it_is_renewed(owners: Tenancy) -> None:
    """Two workers that give out the first token at once give out the same."""
    assert owners.generation_of("a") is None
    assert owners.begin_generation("a", "first") == "first"
    assert owners.begin_generation("a", "second") == "first"
    assert owners.renew_generation("a", "third")
    assert owners.generations_of(["a", "b", "unknown"]) == {"a": "third"}
    assert owners.live_generations() == {"a": "third"}
    assert owners.owner_of("a") == "alice"
    assert owners.owner_of("unknown") is None


def what_has_ended_gets_no_token(owners: Tenancy, end: Callable[[str], None]) -> None:
    """And still has its owner, who may read its end record."""
    assert owners.begin_generation("a", "early") == "early"
    assert owners.live_generations() == {"a": "early"}
    end("a")

    assert owners.live_generations() == {}
    assert owners.begin_generation("a", "first") is None
    assert not owners.renew_generation("a", "first")
    assert owners.owner_of("a") == "alice"


def what_is_unknown_gets_no_token(owners: Tenancy) -> None:
    """Else a token could be made before its sandbox."""
    assert owners.begin_generation("unknown", "first") is None
    assert not owners.renew_generation("unknown", "first")
    assert owners.generation_of("unknown") is None
