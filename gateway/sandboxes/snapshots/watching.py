"""Looks at the files of sandboxes, before a command and after it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from gateway import clock
from gateway.engine.interface import Engine
from gateway.errors import SnapshotsMissing, TooManyWatched
from gateway.metrics import Metrics
from gateway.process.byte_budget import ByteBudget
from gateway.process.owner_turns import OwnerTurns
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.snapshots.host_side import FileIndex, HostSnapshots
from gateway.sandboxes.snapshots.taking import Taking
from gateway.schemas.changed_paths import changes_of

BYTES_OF_ALL = 256 * 1024 * 1024
BYTES_PER_OWNER = 64 * 1024 * 1024
"""Of what is remembered of files while commands run, in one worker: a tree of 100,000 entries takes
some 35 MB, a small one nearly nothing."""

ENTRY_BYTES = 350
"""That an entry takes, with a path of usual length."""

SMALLEST_BYTES = 256 * 1024
"""That each look counts for at least: so an owner has at most 256 in a worker."""


class Place(Protocol):
    """Where a command runs: see `gateway.use.place.Place`."""

    @property
    def sandbox_id(self) -> str: ...

    @property
    def container_id(self) -> str: ...

    @property
    def owner(self) -> str: ...


@dataclass
class Look:
    """What was there, and what it takes to remember it."""

    layer: str
    index: FileIndex
    owner: str
    size: int
    seconds: float


class Watching:
    """Implements `gateway.commands.file_effects.Looks`. One owner's sandboxes are looked at one at
    a time (`turns`)."""

    def __init__(
        self,
        taking: Taking,
        check: SandboxCheck,
        engine: Engine,
        host: HostSnapshots,
        turns: OwnerTurns,
        metrics: Metrics,
    ) -> None:
        self._taking = taking
        self._check = check
        self._engine = engine
        self._host = host
        self._turns = turns
        self._metrics = metrics
        self._held = ByteBudget(BYTES_OF_ALL, BYTES_PER_OWNER, TooManyWatched, TooManyWatched)

    def look(self, place: Place) -> Look:
        """What is there now. Whoever gets it gives it to one of the other methods.

        Raises SandboxNotFound, SandboxBusy, SnapshotsMissing, TooManyWatched, HostToolFailed,
        StoreUnavailable and the engine's errors.
        """
        self._taking.demand_changes(self._check.live(place.sandbox_id))
        layer = self._engine.inspect(place.container_id).layer
        if layer is None:
            raise SnapshotsMissing("the engine does not say where it keeps what the sandbox writes")
        with self._turns.one(place.owner):
            began_s = clock.boot_s()
            index = self._host.index(layer)
            seconds = clock.boot_s() - began_s
        wanted = max(SMALLEST_BYTES, len(index.entries) * ENTRY_BYTES)
        size = self._held.try_take(place.owner, wanted)
        if not size:
            raise TooManyWatched()
        return Look(layer, index, place.owner, size, seconds)

    def changes_since(self, look: Look) -> dict[str, Any]:
        """What has changed, as JSON has it; the look is dropped. Raises HostToolFailed and the
        engine's errors."""
        try:
            with self._turns.one(look.owner):
                began_s = clock.boot_s()
                found = self._host.changes_since(look.layer, look.index)
                self._metrics.changes_told("command", look.seconds + clock.boot_s() - began_s)
        finally:
            self.drop(look)
        return changes_of(found).model_dump(exclude_none=True)

    def drop(self, look: Look) -> None:
        """It is not needed. May be repeated."""
        size, look.size = look.size, 0
        self._held.give_back(look.owner, size)
