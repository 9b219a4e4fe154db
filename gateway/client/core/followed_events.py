"""What happens to sandboxes and to files, followed over connections that break."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..api_error import ConnectionLost
from ..models.files import FileEvent, path_query
from ..models.sandboxes import Event
from .event_stream import EventDecoder
from .followed_command import GOES_ON, STREAM_SILENCE_S
from .retrying import Retrying, error_from
from .steps import Broken, Pause, Read, Request, Story, Told, segment


def follow_events(
    retrying: Retrying, sandbox: str | None, *, after: int | None = None
) -> Story[Event]:
    """What happens from now on or, with `after`, since that event. That of one sandbox begins with
    its history and ends with it; that of all does not end."""
    path = "/events" if sandbox is None else f"/sandboxes/{segment(sandbox)}/events"
    broken_since: float | None = None
    attempt = 0
    while True:
        headers = {"Accept": "text/event-stream"}
        if after is not None:
            headers["Last-Event-ID"] = str(after)
        try:
            answer = yield from retrying.exchange(
                Request("GET", path, headers=headers, is_streamed=True, silence_s=STREAM_SILENCE_S)
            )
            if answer.status == 204:
                return
            decoder = EventDecoder()
            while data := (yield Read()):
                broken_since, attempt = None, 0
                for piece in decoder.feed(data):
                    message = json.loads(piece.data)
                    if piece.event == "error":
                        _check(message)
                        break
                    event = Event.from_json(message)
                    after = event.id
                    yield Told(event)
                    if sandbox is not None and event.event == "ended":
                        return
        except Broken as broken:
            now = retrying.clock()
            broken_since = now if broken_since is None else broken_since
            if now - broken_since > retrying.timeout_s:
                raise ConnectionLost(f"the connection to the gateway broke: {broken}") from None
        yield Pause(retrying.backoff_s(attempt))
        attempt += 1


def _check(message: Mapping[str, Any]) -> None:
    error = error_from(dict(message))
    if error.code not in GOES_ON:
        raise error


def watch_files(
    retrying: Retrying, sandbox: str, path: str | bytes, *, recursive: bool
) -> Story[FileEvent]:
    """What happens to files from now on. Over a connection that broke something may have been
    missed: then `overflow` is told, as it is where more happened than could be."""
    broken_since: float | None = None
    attempt = 0
    was_armed = False
    query = {**path_query(path), "recursive": recursive or None}
    while True:
        try:
            yield from retrying.exchange(
                Request(
                    "GET",
                    f"/sandboxes/{segment(sandbox)}/files/watch",
                    query,
                    headers={"Accept": "text/event-stream"},
                    is_streamed=True,
                    silence_s=STREAM_SILENCE_S,
                )
            )
            decoder = EventDecoder()
            while data := (yield Read()):
                broken_since, attempt = None, 0
                for piece in decoder.feed(data):
                    message = json.loads(piece.data)
                    if piece.event == "watching":
                        if was_armed:
                            yield Told(FileEvent("overflow"))
                        else:
                            yield Told(FileEvent("watching"))
                        was_armed = True
                    elif piece.event == "overflow":
                        yield Told(FileEvent("overflow"))
                    elif piece.event == "ended":
                        return
                    elif piece.event == "error":
                        _check(message)
                        break
                    else:
                        yield Told(FileEvent.from_json(message))
        except Broken as broken:
            now = retrying.clock()
            broken_since = now if broken_since is None else broken_since
            if now - broken_since > retrying.timeout_s:
                raise ConnectionLost(f"the connection to the gateway broke: {broken}") from None
        yield Pause(retrying.backoff_s(attempt))
        attempt += 1
