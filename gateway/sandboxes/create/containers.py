"""Makes the containers of sandboxes."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import gevent

from gateway.agent.surroundings import GIVEN
from gateway.engine.interface import (
    ContainerInfo,
    ContainerSpec,
    Engine,
    Isolation,
    Preparation,
)
from gateway.errors import (
    BaseImageChanged,
    EngineRefused,
    EngineTimeout,
    ImageMissing,
    SnapshotNotFound,
    SnapshotsMissing,
)
from gateway.sandboxes.spec.container_labels import INSTANCE, SANDBOX_ID, labels_of
from gateway.sandboxes.spec.sandbox_spec import SandboxSpec, labelled
from gateway.settings import SHARED_UID
from gateway.store.rows import SandboxRow

LIMIT_S = 45.0
"""How long the making of one container may take. Each step has its own limit, but there are many,
and clients give up after a minute. On a machine whose disk was busy it took 13 s."""

log = logging.getLogger(__name__)


class HostGuard(Protocol):
    """What is enforced on the engine's host around a container's start."""

    def check_room(self) -> None:
        """Raises DiskFull when the host has no room for another sandbox."""

    def guard_network(self) -> None:
        """Keep whoever is on the network off what is not theirs. Raises HostToolFailed."""

    def own_user(self, image: str, uid: int) -> Preparation | None:
        """What makes `uid` the user of a container of this image; None where it must be the
        image's. Raises ImageMissing, HostToolFailed and the engine's errors."""

    def preparation(
        self, disk_mb: int | None, isolation: Isolation, user: Preparation | None
    ) -> Preparation | None:
        """What gives a container its `user`, and limits what it may write."""

    def from_snapshot(self, name: str, disk_mb: int, uids: tuple[int, int]) -> Preparation:
        """In the place of `preparation`: what gives a container the files of a snapshot, whose
        user the first of `uids` was and the second shall be."""

    def variables(self) -> Mapping[str, str]:
        """Environment by which programs in sandboxes find their way out."""


@dataclass(frozen=True)
class Base:
    """A snapshot, as a container is made from it: its `name` on the host's disk, the image that it
    needs, and whose its files are. Without a name it is that image itself."""

    name: str | None
    image_id: str
    uid: int


def _no_bases(_snapshot_id: str) -> Base:
    raise SnapshotNotFound()


class Containers:
    """Starts containers on the gateway's network, which is made when it is missing."""

    def __init__(
        self,
        engine: Engine,
        host_guard: HostGuard,
        instance_id: str,
        network: str,
        base_of: Callable[[str], Base] = _no_bases,
    ) -> None:
        """`base_of` finds a snapshot by its id; it raises SnapshotNotFound."""
        self._base_of = base_of
        self._engine = engine
        self._host_guard = host_guard
        self._instance_id = instance_id
        self._network = network
        self._network_ready = False

    def make(self, row: SandboxRow, spec: SandboxSpec, name: str) -> ContainerInfo:
        """Its labels say which user it has (`container_labels.uid_of`): the row's, where the host
        and the image allow it. On failure nothing of it is left behind, or reconciliation removes
        it. Raises ImageMissing, SnapshotNotFound, BaseImageChanged, DiskFull, HostToolFailed and
        the engine's errors; EngineTimeout also after `LIMIT_S` seconds."""
        overdue = EngineTimeout(f"{name} was not made within {LIMIT_S:g} s")
        try:
            with gevent.Timeout(LIMIT_S, overdue):
                return self._make(row, spec, name)
        except EngineTimeout as error:
            if error is overdue:
                log.exception("making a container takes too long; this is where it waited")
            raise

    def _make(self, row: SandboxRow, spec: SandboxSpec, name: str) -> ContainerInfo:
        self._host_guard.check_room()
        network = "none" if spec.network == "none" else self._network
        variables = {} if network == "none" else self._host_guard.variables()
        base = None if spec.snapshot is None else self._base_of(spec.snapshot)
        image = spec.image if base is None else base.image_id
        user = None
        try:
            # The files of a snapshot that is an image are those of the image's user.
            if row.uid != SHARED_UID and (base is None or base.name is not None):
                user = self._host_guard.own_user(image, row.uid)
        except ImageMissing as error:
            if base is None:
                raise
            raise BaseImageChanged() from error
        uid = SHARED_UID if user is None else row.uid
        preparation = self._prepared(spec, user, base, uid)
        wanted = ContainerSpec(
            name=name,
            image=image,
            network=network,
            limits=spec.limits,
            isolation=spec.isolation,
            uid=uid,
            has_root=spec.root,
            env={**variables, **{GIVEN + name: value for name, value in spec.env.items()}},
            labels=labels_of(self._instance_id, row.sandbox_id, row.created_at, _noted(row), uid),
        )
        if network == "none":
            return self._started(wanted, preparation, base)
        was_ready = self._network_ready
        self._ensure_network()
        try:
            return self._started(wanted, preparation, base)
        except ImageMissing:
            raise
        except EngineRefused:
            if not was_ready:
                raise
            # The network may have been removed since it was last looked for.
            self._network_ready = False
            self._ensure_network()
            return self._started(wanted, preparation, base)

    def remove_those_of(self, sandbox_id: str) -> None:
        """Remove whatever container was made for a sandbox whose row does not know it. Raises the
        engine's errors."""
        labels = {INSTANCE: self._instance_id, SANDBOX_ID: sandbox_id}
        for container in self._engine.containers(labels):
            self._engine.remove(container.container_id)

    def _started(
        self, wanted: ContainerSpec, preparation: Preparation | None, base: Base | None
    ) -> ContainerInfo:
        try:
            return self._engine.start_container(wanted, preparation)
        except ImageMissing as error:
            if base is None:
                raise
            raise BaseImageChanged() from error

    def _prepared(
        self, spec: SandboxSpec, user: Preparation | None, base: Base | None, uid: int
    ) -> Preparation | None:
        if base is None or base.name is None:
            return self._host_guard.preparation(spec.disk_mb, spec.isolation, user)
        if spec.disk_mb is None:
            raise SnapshotsMissing("the sandbox has no disk of its own")
        return self._host_guard.from_snapshot(base.name, spec.disk_mb, (base.uid, uid))

    def _ensure_network(self) -> None:
        if not self._network_ready:
            self._engine.ensure_network(self._network)
            self._host_guard.guard_network()
            self._network_ready = True


def _noted(row: SandboxRow) -> str:
    """What a container's label says of the row, should the store be lost."""
    noted = {"owner": row.owner, **labelled(row)}
    return json.dumps(noted, separators=(",", ":"))
