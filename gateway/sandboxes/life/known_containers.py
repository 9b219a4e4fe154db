"""What is known of a sandbox's container, for whoever reaches into it."""

from __future__ import annotations

from gateway.engine.container_hardening import user_of
from gateway.engine.interface import Engine
from gateway.link.dial import Known
from gateway.sandboxes.spec.container_labels import has_root, uid_of
from gateway.sandboxes.spec.sandbox_spec import option_of
from gateway.settings import MIB, Settings
from gateway.store.sandboxes import SandboxStore


class KnownContainers:
    """Looks containers up: in the store, or in the engine while they are made for the pool."""

    def __init__(self, store: SandboxStore, engine: Engine, settings: Settings) -> None:
        self._store = store
        self._engine = engine
        self._settings = settings

    def of(self, container_id: str) -> Known:
        """Raises StoreUnavailable and, of one that is no sandbox's yet, ContainerGone and the
        engine's errors."""
        row = self._store.of_container(container_id)
        if row is not None:
            limits = self._limits(row.memory_mb or self._settings.memory_mb)
            own_stack = row.isolation == "gvisor"
            with_root = bool(option_of(row, "root"))
            return Known(row.pid, limits, user_of(row.uid), own_stack, with_root)
        container = self._engine.inspect(container_id)
        user = user_of(uid_of(container.labels))
        limits = self._limits(self._settings.memory_mb)
        return Known(container.pid, limits, user, has_root=has_root(container.labels))

    def _limits(self, memory_mb: float) -> dict[str, float]:
        """Of what its agent may keep: of its sandbox's own memory, and no more than a quarter."""
        settings = self._settings
        return {
            "stream_bytes": settings.retain_output_mb * MIB,
            "total_bytes": min(settings.retain_total_mb, memory_mb / 4) * MIB,
            "retain_s": settings.retain_s,
        }
