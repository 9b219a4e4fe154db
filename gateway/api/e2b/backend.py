"""What E2B's surface needs of the services behind it."""

from __future__ import annotations

from typing import Protocol


class SandboxView(Protocol):
    """A sandbox; it has the fields of `gateway.schemas.models.Sandbox`."""

    @property
    def sandbox_id(self) -> str: ...

    @property
    def status(self) -> str: ...


class SandboxService(Protocol):
    """Shows sandboxes. Any method may raise a HostFault."""

    def get(self, sandbox_id: str) -> SandboxView:
        """Raises SandboxNotFound."""
