"""What containers are called.

The engine's name server tells every container on the network the names of all others, forwards and
backwards. Without keys the id of a sandbox is all that is needed to use it, so no name carries an
id: names are random, and containers are found by their label
(`gateway.sandboxes.spec.container_labels`).
"""

from __future__ import annotations

import secrets

PREFIX = "sandbox-"

POOL_PREFIX = "sandbox-pool-"
"""Of one that nobody has yet: should the store be lost, names tell them apart."""


def new_name() -> str:
    """For the container of a sandbox that somebody has."""
    return PREFIX + secrets.token_hex(8)


def new_pool_name() -> str:
    """For the container of one that waits in the pool."""
    return POOL_PREFIX + secrets.token_hex(8)


def is_of_pool(name: str) -> bool:
    """Whether it is the name of a container that nobody had when it was named."""
    return name.startswith(POOL_PREFIX)


def tells(name: str, sandbox_id: str) -> bool:
    """Whether a name carries the id, as those of earlier versions do."""
    return sandbox_id in name
