"""What a sandbox has besides commands and files: its snapshots and its servers."""

from __future__ import annotations

import builtins
from collections.abc import Mapping

from ..core import snapshot_calls
from ..models.ports import ListeningPort, PortAddress
from ..models.snapshots import Snapshot
from .driver import Driver


class SandboxSnapshots:
    """The snapshots of one sandbox."""

    def __init__(self, driver: Driver, sandbox_id: str) -> None:
        self._driver = driver
        self._id = sandbox_id

    def create(self, name: str | None = None, labels: Mapping[str, str] | None = None) -> Snapshot:
        """Take one: all files, at one moment. It outlives the sandbox."""
        return self._driver.call(snapshot_calls.take(self._driver.retrying, self._id, name, labels))

    def list(self) -> builtins.list[Snapshot]:
        """Those that were taken of it, oldest first."""
        return self._driver.call(snapshot_calls.find_all(self._driver.retrying, sandbox=self._id))


class Ports:
    """The servers of one sandbox."""

    def __init__(self, driver: Driver, sandbox_id: str) -> None:
        self._driver = driver
        self._id = sandbox_id

    def list(self) -> builtins.list[ListeningPort]:
        """TCP ports on which servers listen."""
        return self._driver.call(snapshot_calls.listening(self._driver.retrying, self._id))

    def url(self, port: int) -> str:
        """Where it is reached with the gateway's key."""
        return f"{self._driver.address.url}/sandboxes/{self._id}/ports/{port}/"

    def open(self, port: int, ttl: float | None = None) -> PortAddress:
        """An address that works without a key, for `ttl` seconds."""
        return self._driver.call(
            snapshot_calls.port_address(self._driver.retrying, self._id, port, ttl)
        )
