"""Creates that are sent again with an `Idempotency-Key`: they get the first sandbox of the key.

Which sandbox that is, the transaction finds that would admit another (`gateway.store.admission`).
"""

from __future__ import annotations

import time
from hashlib import sha256

from gateway.errors import GatewayError, IdempotencyKeySpent
from gateway.process.change_feed import ChangeFeed
from gateway.sandboxes.life.sandbox_view import SandboxView, view_of
from gateway.schemas.models import SandboxCreate
from gateway.store.admission import Key
from gateway.store.sandboxes import SandboxStore

FIRST_WAIT_S = 60.0
"""How long a repeated create waits for the first one of its key to come to its end."""


_CAME_LATER = {"name": None, "snapshot": None, "root": False, "timeout_action": "delete"}
"""Fields, and what stands for nothing said, that requests did not have when keys were first noted:
a key of an earlier version stays good for the same body."""


def key_of(text: str | None, request: SandboxCreate) -> Key | None:
    """A client's key, with what a repeated request must have in common with the first one."""
    if text is None:
        return None
    unsaid = {name for name, nothing in _CAME_LATER.items() if getattr(request, name) == nothing}
    return Key(text, sha256(request.model_dump_json(exclude=unsaid).encode()).hexdigest())


def first_of_key(store: SandboxStore, feed: ChangeFeed, sandbox_id: str) -> SandboxView | None:
    """The first sandbox of a key, once it is ready; None when it has come to nothing."""
    deadline = time.monotonic() + FIRST_WAIT_S
    while True:
        mark = feed.mark
        row = store.get(sandbox_id)
        if row is None or (row.state == "ended" and row.end_reason == "create_failed"):
            return None
        if row.state != "starting":
            break
        if time.monotonic() > deadline:
            raise GatewayError("the first create of this key does not come to its end")
        feed.wait_after(mark, 1.0)
    if row.state in ("removing", "ended"):
        raise IdempotencyKeySpent()
    return view_of(row)
