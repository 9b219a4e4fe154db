"""Makes the containers of sandboxes."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
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
from gateway.errors import EngineRefused, EngineTimeout, ImageMissing
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

    def variables(self) -> Mapping[str, str]:
        """Environment by which programs in sandboxes find their way out."""


class Containers:
    """Starts containers on the gateway's network, which is made when it is missing."""

    def __init__(
        self, engine: Engine, host_guard: HostGuard, instance_id: str, network: str
    ) -> None:
        self._engine = engine
        self._host_guard = host_guard
        self._instance_id = instance_id
        self._network = network
        self._network_ready = False

    def make(self, row: SandboxRow, spec: SandboxSpec, name: str) -> ContainerInfo:
        """Its labels say which user it has (`container_labels.uid_of`): the row's, where the host
        and the image allow it. On failure nothing of it is left behind, or reconciliation removes
        it. Raises ImageMissing, DiskFull, HostToolFailed and the engine's errors;
        EngineTimeout also after `LIMIT_S` seconds."""
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
        user = None
        if row.uid != SHARED_UID:
            user = self._host_guard.own_user(spec.image, row.uid)
        uid = SHARED_UID if user is None else row.uid
        wanted = ContainerSpec(
            name=name,
            image=spec.image,
            network=network,
            limits=spec.limits,
            isolation=spec.isolation,
            uid=uid,
            env={**variables, **{GIVEN + name: value for name, value in spec.env.items()}},
            labels=labels_of(self._instance_id, row.sandbox_id, row.created_at, _noted(row), uid),
        )
        if network == "none":
            return self._start(wanted, user)
        was_ready = self._network_ready
        self._ensure_network()
        try:
            return self._start(wanted, user)
        except ImageMissing:
            raise
        except EngineRefused:
            if not was_ready:
                raise
            # The network may have been removed since it was last looked for.
            self._network_ready = False
            self._ensure_network()
            return self._start(wanted, user)

    def remove_those_of(self, sandbox_id: str) -> None:
        """Remove whatever container was made for a sandbox whose row does not know it. Raises the
        engine's errors."""
        labels = {INSTANCE: self._instance_id, SANDBOX_ID: sandbox_id}
        for container in self._engine.containers(labels):
            self._engine.remove(container.container_id)

    def _start(self, spec: ContainerSpec, user: Preparation | None) -> ContainerInfo:
        preparation = self._host_guard.preparation(spec.limits.disk_mb, spec.isolation, user)
        return self._engine.start_container(spec, preparation)

    def _ensure_network(self) -> None:
        if not self._network_ready:
            self._engine.ensure_network(self._network)
            self._host_guard.guard_network()
            self._network_ready = True


def _noted(row: SandboxRow) -> str:
    """What a container's label says of the row, should the store be lost."""
    noted = {"owner": row.owner, **labelled(row)}
    return json.dumps(noted, separators=(",", ":"))
