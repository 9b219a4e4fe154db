"""What happens to files of a sandbox, as it does."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import orjson

from gateway.errors import ProtocolBroken
from gateway.files.entries import Entry, entry_of, text_of
from gateway.files.exchange import Exchange
from gateway.process.time_shares import wait_for_share

WINDOW_BYTES = 512 * 1024
"""What may be on the way. Beyond that the kernel keeps events in the sandbox, and then says that
some were lost."""

_KINDS = frozenset(("created", "written", "removed", "renamed", "attributes", "left"))


class Watching:
    """A watch that is armed. `events` is for one greenlet."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.path: str = text_of("path", exchange.event().get("path"), None)["path"]
        """Of what is watched, absolute."""

    def events(self) -> Generator[list[Entry], None, None]:
        """Some at a time, for ever, each as `FileEvent` or `Overflow`. Raises LinkLost."""
        while frame := self._exchange.data(None):
            wait_for_share()
            yield events_of(frame)


def events_of(frame: bytes) -> list[Entry]:
    """The events in one frame, as `FileEvent` or `Overflow`. Those that are told one by one have
    the kind "left", too: the old path of what was renamed. Raises ProtocolBroken."""
    try:
        told = orjson.loads(frame)
    except orjson.JSONDecodeError:
        raise ProtocolBroken("events that are no JSON") from None
    if not isinstance(told, list):
        raise ProtocolBroken("events that are none")
    return [_event(one) for one in told]


def _event(told: Any) -> Entry:
    try:
        kind, path, path_b64, to, to_b64, record = told
    except (TypeError, ValueError):
        raise ProtocolBroken("an event without its facts") from None
    if kind == "overflow":
        return {"type": "overflow"}
    if kind not in _KINDS:
        raise ProtocolBroken("an event of no kind")
    event: Entry = {"type": "file_event", "event": kind, **text_of("path", path, path_b64)}
    if to is not None:
        event |= text_of("to", to, to_b64)
    if record is not None:
        event["stat"] = entry_of(record)
    return event
