"""Exactly one start per request_id: which agent a `once` command was first given to."""

from __future__ import annotations

from typing import Protocol

from gateway.errors import CommandLost


class OnceStore(Protocol):
    """Remembers the first claim of each (sandbox, request_id)."""

    def claim_once(self, sandbox_id: str, request_id: str, daemon: str) -> str:
        """Note `daemon` unless another is noted already; the one that is."""


class OnceRegister:
    """The agent itself starts no key twice. But it may be killed, and its successor knows
    nothing; so it is written down, before the start, which agent got the command."""

    def __init__(self, store: OnceStore) -> None:
        self._store = store

    def daemon_for(self, sandbox_id: str, request_id: str, daemon: str) -> str:
        """`daemon`, if the command was never given to another. Raises CommandLost otherwise."""
        first = self._store.claim_once(sandbox_id, request_id, daemon)
        if first != daemon:
            raise CommandLost("the agent that was given the command was killed")
        return daemon
