"""Starting a sandbox anew: its processes end, and its files stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from gateway.engine.interface import Engine, Preparation
from gateway.errors import ContainerGone, FeatureMissing, SandboxNotFound
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.life.sandbox_view import SandboxView
from gateway.sandboxes.snapshots.holding import Holding
from gateway.store.holds import HoldStore

_ITSELF = "itself"
"""In the place of a snapshot's id: whoever takes over from a worker that was killed in the middle
starts the sandbox again with the files that it has."""


class HostGuard(Protocol):
    """Bounds what a container does to the host."""

    def once_more(self) -> Preparation:
        """For one that is started again with the disk that it has."""


class Restarting:
    """`forget_link` closes links into a container."""

    def __init__(
        self,
        holding: Holding,
        holds: HoldStore,
        check: SandboxCheck,
        engine: Engine,
        guard: HostGuard,
        forget_link: Callable[[str], None],
    ) -> None:
        self._holding = holding
        self._holds = holds
        self._check = check
        self._engine = engine
        self._guard = guard
        self._forget_link = forget_link

    def restart(self, sandbox_id: str) -> SandboxView:
        """End all its processes and begin again with its files, as after a power cut. It runs
        afterwards, also one that was paused.

        Raises SandboxNotFound, SandboxBusy, FeatureMissing for one whose files are in memory,
        HostToolFailed, StoreUnavailable and the engine's errors. What cannot be started again has
        ended.
        """
        row = self._check.live(sandbox_id)
        if row.isolation == "strict":
            raise FeatureMissing("its files are in memory, and would be lost")
        self._holding.claim(sandbox_id, restoring=_ITSELF)
        try:
            if row.container_id is None:
                raise SandboxNotFound(sandbox_id)
            started = self._engine.restart(row.container_id, self._guard.once_more())
            self._forget_link(row.container_id)
            self._holds.note_process(sandbox_id, ip_address=started.ip_address, pid=started.pid)
        except ContainerGone as gone:
            raise self._check.not_found(sandbox_id) from gone
        finally:
            self._holding.release(sandbox_id)
        return self._check.view(sandbox_id)
