"""Sandboxes: how they stand, what happened to them, how they ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .answer import Answer


@dataclass(frozen=True)
class SandboxInfo(Answer):
    """A sandbox as it was when it was asked for. Times are seconds since the epoch."""

    sandbox_id: str
    status: str
    created_at: float
    ip_address: str | None = None
    name: str | None = None
    image: str | None = None
    isolation: str | None = None
    network: str | None = None
    cpus: float | None = None
    memory_mb: int | None = None
    pids: int | None = None
    disk_mb: int | None = None
    labels: dict[str, str] = field(default_factory=dict)
    timeout: float | None = None
    expires_at: float | None = None
    idle_timeout: float | None = None
    idle_action: str | None = None
    timeout_action: str | None = None
    root: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """As the gateway answers it: with null where nothing is set."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class CreatedSandbox(Answer):
    """What a create answers. `access_token` only where API keys are configured."""

    sandbox_id: str
    status: str
    message: str
    access_token: str | None = None


@dataclass(frozen=True)
class LastCommand(Answer):
    """One of the last commands of a sandbox that has ended. `returncode` None: it still ran."""

    request_id: str
    command: str
    started_at: float
    returncode: int | None
    output: str = ""
    error: str = ""
    checkpoint: str | None = None


@dataclass(frozen=True)
class Ended(Answer):
    """Why a sandbox is no more. `reason` is `idle`, `timeout`, `deleted`, `oom`, `exited`,
    `engine_lost`, `disk` or `create_failed`."""

    reason: str
    at: float | None = None
    detail: str = ""
    exit_code: int | None = None
    last_commands: list[LastCommand] = field(default_factory=list)


@dataclass(frozen=True)
class Event(Answer):
    """Something that happened to a sandbox. `data` is all of it, as it came."""

    id: int
    sandbox_id: str
    at: float
    event: str
    data: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Event:
        """With whatever else the event says in `data`."""
        return cls(found["id"], found["sandbox_id"], found["at"], found["event"], dict(found))

    def to_json(self) -> dict[str, Any]:
        """As it came."""
        return dict(self.data)


@dataclass(frozen=True)
class Amount(Answer):
    """What is used, and what may be; `limit` None: not limited."""

    used: float
    limit: float | None = None


@dataclass(frozen=True)
class CpuUsage(Answer):
    """`cores` in use now, of `limit`; `total_s` seconds since it was made."""

    cores: float
    limit: float
    total_s: float


@dataclass(frozen=True)
class NetworkUsage(Answer):
    """Bytes since it was made."""

    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True)
class SandboxStats(Answer):
    """What a sandbox uses now. `disk_bytes` is None where the engine does not say."""

    cpu: CpuUsage
    memory_bytes: Amount
    pids: Amount
    disk_bytes: Amount | None
    network: NetworkUsage


@dataclass(frozen=True)
class AccessToken(Answer):
    """Opens one sandbox, until `expires_at` (seconds since the epoch)."""

    access_token: str
    expires_at: float
