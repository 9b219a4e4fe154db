"""The warm pool: sandboxes that stand ready, with their agent running, before anybody asks."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from gateway import clock
from gateway.engine.interface import Engine, Limits
from gateway.errors import (
    BadFields,
    BaseImageChanged,
    EngineFault,
    HostToolFailed,
    SnapshotNotFound,
    SnapshotTooLarge,
)
from gateway.process.change_feed import ChangeFeed
from gateway.process.periodic import PeriodicLoop
from gateway.sandboxes.create.container_names import new_pool_name
from gateway.sandboxes.create.containers import Containers
from gateway.sandboxes.create.image_ids import ImageIds
from gateway.sandboxes.create.new_row import new_row
from gateway.sandboxes.create.pool_shares import PoolShares, kept_for_others
from gateway.sandboxes.create.snapshot_bases import Bases
from gateway.sandboxes.spec.container_labels import uid_of
from gateway.sandboxes.spec.sandbox_spec import SandboxSpec, fixed_in_the_pool
from gateway.sandboxes.spec.spec_resolver import SpecResolver
from gateway.schemas.models import SandboxCreate
from gateway.store.admission import AdmissionStore
from gateway.store.pool import PoolStore
from gateway.store.rows import SandboxRow
from gateway.store.snapshots import SnapshotRow

log = logging.getLogger(__name__)

REFILL_AFTER_S = 0.5
"""Seconds that the pool waits after one was taken, before it makes the next one: that would slow
the first command of the client who took it."""

LOOK_S = 2.0
"""Seconds between two looks at what the store does not tell: whether an image was replaced."""

AFTER_FAILURE_S = 5.0


@dataclass(frozen=True)
class Plan:
    """What is pooled, from the settings: (image, isolation) pairs, such pairs of sandboxes with
    root, and how many of each and of each snapshot."""

    pairs: Sequence[tuple[str, str]]
    with_root: Sequence[tuple[str, str]]
    size: int
    most: int
    """Sandboxes at a time, pooled ones included; 0: no limit."""


class Pool:
    """Knows which requests a pooled sandbox serves, and fills the pool up.

    `warm` starts the agent in a container. Every worker asks; one of them, the housekeeper, tends.
    """

    def __init__(
        self,
        store: PoolStore,
        admission: AdmissionStore,
        engine: Engine,
        containers: Containers,
        resolver: SpecResolver,
        plan: Plan,
        warm: Callable[[str], None],
        live_count: Callable[[], int],
        worker_id: str,
        feed: ChangeFeed,
        bases: Bases,
    ) -> None:
        self._bases = bases
        self._store = store
        self._admission = admission
        self._engine = engine
        self._containers = containers
        self._resolver = resolver
        self._plan = plan
        self._warm = warm
        self._live_count = live_count
        self._worker_id = worker_id
        self._feed = feed
        self._image_ids = ImageIds(engine)
        self.shares = PoolShares()

    # --- who may take --------------------------------------------------------------------------

    def key_for(
        self, spec: SandboxSpec, *, base: SnapshotRow | None = None, fresh: bool = False
    ) -> str | None:
        """The key of pooled sandboxes that serve a spec; None where only a new one does. `base` is
        the spec's snapshot, which whoever asks may use.

        Memory, CPU and processes can be changed on a running container; the rest cannot. With
        `fresh` it is that of the image as it is now; without, perhaps of an older one, of which
        the pool has none any more.
        """
        fixed = fixed_in_the_pool(spec)
        if not self._plan.size or fixed is None:
            return None
        if base is not None:
            # It needs no look at the image: another one never has its id.
            return _key_of(base.snapshot_id, fixed) if self._bases.pooled.holds(base) else None
        pairs = self._plan.with_root if spec.root else self._plan.pairs
        if spec.snapshot is not None or (spec.image, spec.isolation) not in pairs:
            return None
        image_id = self._image_ids.now(spec.image) if fresh else self._image_ids.last(spec.image)
        if image_id is None:
            return None
        return _key_of(image_id, fixed)

    def has_limits(self, limits: Limits) -> bool:
        """Whether pooled sandboxes have these limits already."""
        return limits == self._resolver.default().limits

    def leaves_to_others(self, owner: str, base: SnapshotRow | None = None) -> int:
        """How many pooled sandboxes of a kind, those of a snapshot perhaps, an owner who asks now
        has to leave to others."""
        self.shares.asked(owner)
        if base is not None and not self._bases.pooled.is_everybodys(base):
            return 0
        return kept_for_others(self._plan.size) if self.shares.has_had_more(owner) else 0

    # --- filling -------------------------------------------------------------------------------

    def tend_for_ever(self) -> None:
        """Keep the pool full. Never returns."""
        PeriodicLoop(
            "filling the pool",
            self.tend,
            LOOK_S,
            feed=self._feed,
            after_failure_s=AFTER_FAILURE_S,
            settle_s=REFILL_AFTER_S,
        ).run()

    def tend(self) -> None:
        """One round: drop what nobody may take any more, and make what is missing, one after the
        other and only while nobody waits for a sandbox. What is kept for owners who have had less
        is made all the same: one owner who creates without a pause would keep the pool empty."""
        wanted = self._wanted()
        pooled = self._store.all()
        excess = Counter(row.pool_key for row in pooled) - Counter(
            {key: count for key, (_spec, count) in wanted.items()}
        )
        for row in pooled:
            if excess[row.pool_key] > 0 and row.state == "pooled":
                excess[row.pool_key] -= 1
                self._discard(row)
        for key, (spec, count) in wanted.items():
            kept = kept_for_others(self._plan.size) if self.shares.several() else 0
            for there in range(sum(row.pool_key == key for row in pooled), count):
                if there >= kept and self._admission.has_work(now=clock.boot_s()):
                    return
                try:
                    self._add(key, spec)
                except (BaseImageChanged, SnapshotNotFound, HostToolFailed) as error:
                    if spec.snapshot is None:
                        raise
                    log.warning("cannot pool snapshot %s: %s", spec.snapshot, error)
                    break

    def _wanted(self) -> dict[str, tuple[SandboxSpec, int]]:
        """How many there shall be, by key: as many as planned, where there is room."""
        room = max(0, self._plan.most - self._live_count()) if self._plan.most else None
        wanted: dict[str, tuple[SandboxSpec, int]] = {}
        for request, base in self._requests():
            try:
                if base is not None:
                    request = self._bases.applied(request, base)
                spec = self._resolver.resolve(request)
            except (BadFields, SnapshotTooLarge) as refused:
                log.warning("cannot pool %s: %s", base.name if base else request.image, refused)
                continue
            key = self.key_for(spec, base=base, fresh=True)
            if key is None:
                continue
            count = self._plan.size if room is None else min(self._plan.size, room)
            if room is not None:
                room -= count
            wanted[key] = (spec, count)
        return wanted

    def _requests(self) -> Iterator[tuple[SandboxCreate, SnapshotRow | None]]:
        """What whoever takes a pooled sandbox has asked for."""
        for root, pairs in ((False, self._plan.pairs), (True, self._plan.with_root)):
            for image, level in pairs:
                asked = {"image": image, "isolation": level, "root": root}
                yield SandboxCreate.model_validate(asked), None
        for snapshot in self._bases.pooled.all():
            yield SandboxCreate(snapshot=snapshot.snapshot_id), snapshot

    def _add(self, key: str, spec: SandboxSpec) -> None:
        # For the label: should the store be lost, it is adopted with what it says.
        row = new_row(spec, "pooling", self._worker_id, pool_key=key)
        started = time.monotonic()
        row = self._store.add_pooling(row)
        try:
            container = self._containers.make(row, spec, new_pool_name())
            self._warm(container.container_id)
            pooled = self._store.mark_pooled(
                row.sandbox_id,
                container_id=container.container_id,
                ip_address=container.ip_address,
                pid=container.pid,
                uid=uid_of(container.labels),
            )
        except BaseException:
            self._forget(row)
            raise
        if not pooled:
            self._engine.remove(container.container_id)
        log.debug("pooled %s in %.2f s", row.sandbox_id, time.monotonic() - started)

    def _discard(self, row: SandboxRow) -> None:
        """Nobody may take it any more: its image or what it is made with has changed."""
        if self._store.drop(row.sandbox_id) and row.container_id is not None:
            self._engine.remove(row.container_id)

    def _forget(self, row: SandboxRow) -> None:
        """What could not be made; should a container be left, its label says whose it was."""
        self._store.drop(row.sandbox_id)
        try:
            self._containers.remove_those_of(row.sandbox_id)
        except EngineFault as error:
            log.warning("cannot remove what was to be pooled yet: %s", error)

    # --- after accidents -----------------------------------------------------------------------

    def take_over_from(self, dead_workers: set[str]) -> None:
        """Forget what workers that were killed were making."""
        for row in self._store.all():
            if row.state == "pooling" and row.worker_id in dead_workers:
                self._forget(row)

    def standing(self) -> list[SandboxRow]:
        """Those that are ready to be taken."""
        return [row for row in self._store.all() if row.state == "pooled"]

    def drop_all_but(self, running: set[str], standing: list[SandboxRow]) -> None:
        """Drop those of `standing` whose containers do not run. Whoever asks the engine which do
        must have asked for `standing` before: others may be there since."""
        for row in standing:
            if row.container_id not in running:
                try:
                    self._discard(row)
                except EngineFault as error:
                    log.warning("cannot remove a pooled container yet: %s", error)


def _key_of(origin: str, fixed: tuple[Any, ...]) -> str:
    return sha256(repr((origin, *fixed)).encode()).hexdigest()[:32]
