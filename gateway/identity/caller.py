"""Whoever a request comes from, and which sandboxes are theirs."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class KeyLimits:
    """What all that carries a key's name may use together. None: no limit but the gateway's."""

    max_sandboxes: int | None = None
    max_cpus: float | None = None
    max_memory_mb: int | None = None
    rate: float | None = None
    """Requests per second."""


NO_LIMITS = KeyLimits()


@dataclass(frozen=True)
class Caller:
    """Whoever holds a key, or the access token of one sandbox.

    `name` is the key's: it owns what its holder creates, and what a token opens is owned by it.
    `proof` is what the caller was known by, a digest or a claim, never the secret itself.
    """

    name: str
    limits: KeyLimits = NO_LIMITS
    sandbox_id: str | None = None
    """The only sandbox that an access token opens."""
    proof: object = field(default=None, repr=False)

    @property
    def is_anonymous(self) -> bool:
        """Whether no keys are configured: then the id of a sandbox is all that it takes."""
        return self.name == ""


ANONYMOUS = Caller("")


def may_use(caller: Caller, sandbox_owner: str | None, sandbox_id: str) -> bool:
    """Whether a sandbox is the caller's. `sandbox_owner` is None where there is no such sandbox.

    A sandbox of nobody, made before keys were configured, is not shown to whoever has a key.
    """
    if caller.is_anonymous:
        return True
    if sandbox_owner != caller.name:
        return False
    return caller.sandbox_id is None or caller.sandbox_id == sandbox_id
