"""What the REST edge needs of the services behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.models import Check, SandboxStatus


class SandboxView(Protocol):
    """A sandbox as the edge shows it."""

    @property
    def sandbox_id(self) -> str: ...

    @property
    def status(self) -> SandboxStatus: ...

    @property
    def created_at(self) -> float:
        """Seconds since the epoch."""

    @property
    def ip_address(self) -> str | None: ...


class SandboxService(Protocol):
    """Creates, shows and removes sandboxes. Any method may raise a HostFault."""

    def create(self) -> SandboxView:
        """A new sandbox, ready to be used."""

    def get(self, sandbox_id: str) -> SandboxView:
        """Raises SandboxNotFound."""

    def list(self) -> Sequence[SandboxView]:
        """All sandboxes, oldest first."""

    def delete(self, sandbox_id: str) -> None:
        """Gone when this returns. Raises SandboxNotFound."""


class ReadinessService(Protocol):
    """Looks whether sandboxes can be served."""

    def checks(self) -> dict[str, Check]:
        """Each thing that must work, by name. What fails is in the answer and is not raised."""
