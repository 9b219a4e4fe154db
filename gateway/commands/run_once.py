"""Exactly one start per request_id: which agent a `once` command was first given to."""

from __future__ import annotations

from typing import Protocol

from gateway.errors import CommandLost


class Claim(Protocol):
    """Who has the command, and the checkpoint before it."""

    @property
    def daemon(self) -> str: ...

    @property
    def checkpoint(self) -> str | None: ...

    @property
    def is_first(self) -> bool:
        """Whether nobody had claimed it before."""


class OnceStore(Protocol):
    """Remembers the first claim of each (sandbox, request_id)."""

    def noted(self, sandbox_id: str, request_id: str) -> Claim | None:
        """The claim that there is."""

    def claim_once(
        self,
        sandbox_id: str,
        request_id: str,
        daemon: str,
        *,
        checkpoint: str | None = None,
        watched: tuple[str, str] | None = None,
    ) -> Claim:
        """Note `daemon` unless another is noted already; what is. `watched` are the command's key
        and the worker that will tell what it changes."""


class OnceRegister:
    """The agent itself starts no key twice. But it may be killed, and its successor knows
    nothing; so it is written down, before the start, which agent got the command."""

    def __init__(self, store: OnceStore) -> None:
        self._store = store

    def noted(self, sandbox_id: str, request_id: str, daemon: str) -> Claim | None:
        """The claim of a command that was given to `daemon` before; None: to nobody yet. Raises
        CommandLost when it was given to another."""
        found = self._store.noted(sandbox_id, request_id)
        return None if found is None else _same(found, daemon)

    def claim(
        self,
        sandbox_id: str,
        request_id: str,
        daemon: str,
        *,
        checkpoint: str | None = None,
        watched: tuple[str, str] | None = None,
    ) -> Claim:
        """The claim, if the command was never given to another agent. Raises CommandLost
        otherwise."""
        return _same(
            self._store.claim_once(
                sandbox_id, request_id, daemon, checkpoint=checkpoint, watched=watched
            ),
            daemon,
        )


def _same(claim: Claim, daemon: str) -> Claim:
    if claim.daemon != daemon:
        raise CommandLost("the agent that was given the command was killed")
    return claim
