"""Makes the containers of sandboxes."""

from __future__ import annotations

import json
from collections.abc import Mapping

from gateway.engine.interface import ContainerInfo, ContainerSpec, Engine, Limits
from gateway.errors import EngineRefused, ImageMissing
from gateway.sandboxes.labels import labels_of
from gateway.sandboxes.options import Recipe
from gateway.store.rows import SandboxRow

NOTED = (
    "owner",
    "labels",
    "image",
    "isolation",
    "network",
    "cpus",
    "memory_mb",
    "pids",
    "disk_mb",
    "timeout_s",
    "idle_timeout_s",
    "idle_action",
)
"""Fields of a row that its container's label says too."""

POOL_PREFIX = "sandbox-pool-"


def name_of(sandbox_id: str) -> str:
    """Of the container of a sandbox that somebody has."""
    return f"sandbox-{sandbox_id}"


def pool_name_of(sandbox_id: str) -> str:
    """Of one that nobody has yet: should the store be lost, names tell them apart."""
    return f"{POOL_PREFIX}{sandbox_id}"


class Containers:
    """Starts containers on the gateway's network, which is made when it is missing."""

    def __init__(self, engine: Engine, instance_id: str, network: str) -> None:
        self._engine = engine
        self._instance_id = instance_id
        self._network = network
        self._network_ready = False

    def make(self, row: SandboxRow, recipe: Recipe, name: str) -> ContainerInfo:
        """On failure nothing of it is left behind. Raises ImageMissing and the engine's errors."""
        network = "none" if recipe.network == "none" else self._network
        spec = ContainerSpec(
            name=name,
            image=recipe.image,
            network=network,
            limits=recipe.limits,
            isolation=recipe.isolation,
            env=recipe.env,
            labels=labels_of(self._instance_id, row.sandbox_id, row.created_at, _noted(row)),
        )
        if network == "none":
            return self._engine.start_container(spec)
        was_ready = self._network_ready
        self._ensure_network()
        try:
            return self._engine.start_container(spec)
        except ImageMissing:
            raise
        except EngineRefused:
            if not was_ready:
                raise
            # The network may have been removed since it was last looked for.
            self._network_ready = False
            self._ensure_network()
            return self._engine.start_container(spec)

    def _ensure_network(self) -> None:
        if not self._network_ready:
            self._engine.ensure_network(self._network)
            self._network_ready = True


def _noted(row: SandboxRow) -> str:
    """What a container's label says of the row, should the store be lost."""
    noted: Mapping[str, object] = {name: getattr(row, name) for name in NOTED}
    return json.dumps(noted, separators=(",", ":"))


def limits_of(row: SandboxRow, file_size_mb: int) -> Limits:
    """The limits that a row says."""
    return Limits(row.memory_mb, row.cpus, row.pids, file_size_mb, row.disk_mb)
