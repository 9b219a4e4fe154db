"""What happens to files of a sandbox, as server-sent events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack

import orjson
from flask import Blueprint, Response

from gateway.api.asking.client_presence import leaving
from gateway.api.bodies.streamed_answers import streamed
from gateway.api.rest.file_routes import FAULTS, path_in
from gateway.api.rest.query_strings import read_query
from gateway.api.rest.server_sent_events import (
    HEARTBEAT_S,
    MEDIA_TYPE,
    event_bytes,
    failure_bytes,
)
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import GatewayError, GatewayFull, TooManyWatches, TooMuchUnread
from gateway.files.entries import Entry
from gateway.files.service import Files
from gateway.middleware import language
from gateway.middleware.language import Texts
from gateway.schemas.models import (
    FileEvent,
    Overflow,
    SandboxEnded,
    SocketError,
    Watching,
    WatchQuery,
)
from gateway.schemas.route_documentation import Reply, documented
from gateway.use.sandbox_use import SandboxUses

LOOK_S = 1.0
"""How often it is looked whether the client is still there: a sandbox has few watches."""

_WATCHING = b'{"type":"watching"}'
_HEARTBEAT = b":\n\n"
_EVENTS = (Watching, FileEvent, Overflow, SocketError, SandboxEnded)


def blueprint(files: Files, uses: SandboxUses, waiting: Waiting) -> Blueprint:
    """The route `/sandboxes/{sandbox_id}/files/watch`."""
    routes = Blueprint("watches", __name__, url_prefix="/sandboxes/<sandbox_id>/files")

    @routes.get("/watch")
    @documented(
        summary="Watch files",
        description="Server-sent events of what happens to a directory or a file from now on, as "
        "on `/ws/{sandbox_id}/watch`. `watching` comes first. There is no going on after a stream "
        "that broke: list what is there, and watch again.",
        tag="Files",
        query=WatchQuery,
        replies={
            200: Reply(
                description="The stream, whatever `Accept` says.",
                media_type=None,
                events=_EVENTS,
                event_fields="`event` the `type` of the message.",
            )
        },
        errors=(TooManyWatches, TooMuchUnread, GatewayFull, *FAULTS),
    )
    def watch(sandbox_id: str) -> Response:
        query = read_query(WatchQuery)
        path = path_in(query)
        with ExitStack() as held:
            place = files.place(held.enter_context(uses.of(sandbox_id)).place, query.user)
            watching = waiting.until(
                lambda: held.enter_context(files.watch(place, path, recursive=query.recursive))
            )
            told = waiting.each(watching.events(), first_s=LOOK_S, then_s=LOOK_S)
            held.callback(told.close)
            texts = language.texts()
            stream = _stream(_while_there(told), uses, sandbox_id, texts)
            response = streamed(stream, held, MEDIA_TYPE)
        response.headers["X-Accel-Buffering"] = "no"
        return response

    return routes


def _while_there(told: Iterable[list[Entry] | None]) -> Iterator[list[Entry] | None]:
    """The same until the client has left; None only as often as a heartbeat is due."""
    has_left, silent_s = leaving(), 0.0
    return _until_left(told, has_left, silent_s)


def _until_left(
    told: Iterable[list[Entry] | None], has_left: Callable[[], bool], silent_s: float
) -> Iterator[list[Entry] | None]:
    for events in told:
        if events is not None:
            silent_s = 0.0
            yield events
            continue
        if has_left():
            return
        silent_s += LOOK_S
        if silent_s >= HEARTBEAT_S:
            silent_s = 0.0
            yield None


def _stream(
    told: Iterable[list[Entry] | None],
    uses: SandboxUses,
    sandbox_id: str,
    texts: Texts,
) -> Iterator[bytes]:
    yield from event_bytes("watching", _WATCHING)
    try:
        for events in told:
            if events is None:
                yield _HEARTBEAT
                continue
            yield b"".join(
                piece
                for event in events
                for piece in event_bytes(event["type"], orjson.dumps(event))
            )
    except GatewayError as error:
        yield from failure_bytes(error, uses, sandbox_id, texts)
