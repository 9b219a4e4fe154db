"""Whoever the current request comes from, as the owner of what it creates."""

from __future__ import annotations

from gateway.middleware import authentication
from gateway.sandboxes.spec.owner_limits import Owner


def owner_of_request() -> Owner:
    """With the limits of the caller's key."""
    caller = authentication.caller()
    limits = caller.limits
    return Owner(
        caller.name,
        limits.max_sandboxes,
        limits.max_cpus,
        limits.max_memory_mb,
        has_neighbours=authentication.has_neighbours(),
    )
