"""Servers in sandboxes."""

from __future__ import annotations

from dataclasses import dataclass

from .answer import Answer


@dataclass(frozen=True)
class PortProcess(Answer):
    """Whoever listens, as the sandbox says. `pid` is that inside."""

    pid: int
    name: str
    command: str


@dataclass(frozen=True)
class ListeningPort(Answer):
    """A TCP port on which a server listens. `process` is None when it is not the user's own."""

    port: int
    addresses: list[str]
    process: PortProcess | None = None


@dataclass(frozen=True)
class PortAddress(Answer):
    """An address of a port that works without a key: `url` by path, `host_url` under a host of its
    own where there is one. Valid until `expires_at`, seconds since the epoch."""

    url: str
    host_url: str | None
    token: str
    expires_at: float
