"""All streams of this process by sandbox: they end when it does, or is paused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Protocol

from gateway.api.e2b.rpc_errors import SANDBOX_ENDED, RpcError
from gateway.process.change_feed import ChangeFeed
from gateway.process.periodic import PeriodicLoop

LOOK_S = 1.0
"""How often the store is asked anyhow. Else a change tells."""

SETTLE_S = 0.1
"""A busy store changes always."""


class Sandboxes(Protocol):
    """Knows what has become of sandboxes."""

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        """Those of the sandboxes that are no more, with why."""

    def paused_among(self, sandbox_ids: set[str]) -> dict[str, float]:
        """Those of the sandboxes that are paused, with the boot time since when."""


class Ending(Protocol):
    """A stream that can be told to end."""

    def end(self, error: RpcError) -> None: ...


class OpenStreams:
    """Owns one greenlet, from `start` to `close`."""

    def __init__(self, sandboxes: Sandboxes, feed: ChangeFeed) -> None:
        self._sandboxes = sandboxes
        self._by_sandbox: dict[str, set[Ending]] = defaultdict(set)
        self._loop = PeriodicLoop(
            "looking after the sandboxes of streams",
            self.look,
            LOOK_S,
            feed=feed,
            settle_s=SETTLE_S,
        )

    def start(self) -> None:
        """Begin to look."""
        self._loop.start()

    def enter(self, sandbox_id: str, stream: Ending) -> Callable[[], None]:
        """Look after a stream until what this gives is called."""
        self._by_sandbox[sandbox_id].add(stream)

        def leave() -> None:
            streams = self._by_sandbox.get(sandbox_id)
            if streams is not None:
                streams.discard(stream)
                if not streams:
                    del self._by_sandbox[sandbox_id]

        return leave

    def look(self) -> None:
        """End the streams of sandboxes that are no more, and of paused ones. Raises
        StoreUnavailable."""
        asked = set(self._by_sandbox)
        if not asked:
            return
        gone = set(self._sandboxes.ended_among(asked)) | set(self._sandboxes.paused_among(asked))
        for sandbox_id in gone:
            for stream in list(self._by_sandbox.get(sandbox_id, ())):
                stream.end(RpcError("unavailable", SANDBOX_ENDED))

    def close(self) -> None:
        """Look no more. May be repeated."""
        self._loop.close()
