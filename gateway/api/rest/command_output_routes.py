"""The route to what a command wrote: bytes from an offset, or events as they come."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack

from flask import Blueprint, Response

from gateway.api.rest import answers, server_sent_events
from gateway.api.rest.backend import CommandService
from gateway.api.rest.command_routes import EVENT_FIELDS, EVENTS, FAULTS, found
from gateway.api.rest.query_strings import read_query
from gateway.api.rest.server_sent_events import EventStreams, LastEvent
from gateway.api.rest.stoppable_waits import Waiting
from gateway.commands.output_slices import OutputSlice, slice_of
from gateway.errors import (
    BadFields,
    BadOffset,
    CommandNotFound,
    FeatureMissing,
    GatewayFull,
    TooManyStreams,
    TooMuchUnread,
)
from gateway.protocol import streams
from gateway.schemas.event_encoder import EncodedEvent, EventEncoder
from gateway.schemas.models import CommandSummary, OutputQuery
from gateway.schemas.route_documentation import Reply, documented
from gateway.use.place import Place
from gateway.use.sandbox_use import SandboxUses

BYTES = "application/octet-stream"

_NUMBERS = {"stdout": streams.STDOUT, "stderr": streams.STDERR}


def blueprint(
    commands: CommandService,
    uses: SandboxUses,
    short_uses: SandboxUses,
    waiting: Waiting,
    streams: EventStreams,
) -> Blueprint:
    """The route `/sandboxes/{sandbox_id}/commands/{request_id}/output`."""
    routes = Blueprint("command_output", __name__, url_prefix="/sandboxes/<sandbox_id>/commands")

    @routes.get("/<request_id:request_id>/output")
    @documented(
        summary="Read what a command wrote",
        description="Raw bytes of one stream, from an offset on. Answers at once when there are "
        "any, else after `wait` seconds at the latest, perhaps with none. Ask again from "
        "`X-Output-Next` until `X-Output-Complete` is `true`.",
        tag="Commands",
        query=OutputQuery,
        headers={
            "Last-Event-ID": "Event stream: go on after this event, instead of at the offsets of "
            "the query. After `end` there is nothing: 204."
        },
        replies={
            200: Reply(
                description="What stands there. It may be less than there is.",
                media_type=BYTES,
                headers={
                    "X-Output-Offset": "Where the bytes stand. Larger than asked for when what "
                    "lay before is not kept any more.",
                    "X-Output-Next": "Where to go on.",
                    "X-Output-Complete": "`true` when the command has ended and nothing follows.",
                },
                events=EVENTS,
                event_fields=EVENT_FIELDS,
            ),
            204: Reply(description="Event stream: the client has got everything.", media_type=None),
        },
        errors=(
            BadFields,
            BadOffset,
            CommandNotFound,
            FeatureMissing,
            TooManyStreams,
            TooMuchUnread,
            GatewayFull,
            *FAULTS,
        ),
    )
    def read(sandbox_id: str, request_id: str) -> Response:
        query = read_query(OutputQuery)
        as_events = server_sent_events.is_asked_for(instead_of=BYTES)
        _check(query, as_events)
        last = server_sent_events.last_event() if as_events else LastEvent()
        with ExitStack() as held:
            use = held.enter_context((uses if as_events else short_uses).of(sandbox_id))
            summary = waiting.until(lambda: found(commands, use.place, request_id))
            if last.is_end:
                return answers.nothing()
            if as_events:
                story = _story(use.place, summary, query, last)
                return streams.answer(story, use=use, held=held, request_id=request_id)
            return _piece(waiting.until(lambda: _slice(use.place, summary, query)))

    def _slice(place: Place, summary: CommandSummary, query: OutputQuery) -> OutputSlice:
        stream = query.stream or "stdout"
        size = _written(summary)[_index(stream)]
        is_to_come = summary.status == "running" and query.offset > size
        offsets = _offsets(summary, stream, size if is_to_come else query.offset)
        return slice_of(
            commands.attach(place, summary.request_id, offsets),
            _NUMBERS[stream],
            query.offset,
            size=size,
            finished=summary.status == "finished",
            limit=query.limit,
            wait_s=query.wait,
        )

    def _story(
        place: Place, summary: CommandSummary, query: OutputQuery, last: LastEvent
    ) -> Generator[EncodedEvent, None, None]:
        offsets = last.offsets or (query.stdout, query.stderr)
        if query.stream is not None:
            index = _index(query.stream)
            offset = offsets[index] if last.offsets else query.offset
            offsets = _offsets(summary, query.stream, offset)
        only = None if query.stream is None else _NUMBERS[query.stream]
        encoder = EventEncoder(summary.request_id, query.encoding, offsets, only)
        followed = commands.attach(place, summary.request_id, offsets)
        yield from encoder.story(
            followed, lambda: commands.outcome(place, followed, encoding=query.encoding)
        )

    return routes


def _check(query: OutputQuery, as_events: bool) -> None:
    """Raises BadFields for what would be passed over in silence."""
    given = query.model_fields_set
    if as_events:
        wrong = {"limit", "wait"} if query.stream else {"limit", "wait", "offset"}
        if query.stream:
            wrong |= {"stdout", "stderr"}
    else:
        wrong = {"stdout", "stderr", "encoding"}
    errors = [
        {"loc": [name], "msg": "Not together with the rest of the request", "type": "not_together"}
        for name in sorted(wrong & given)
    ]
    if errors:
        raise BadFields("parts of the query do not fit together", errors=errors)


def _index(stream: str) -> int:
    return 0 if stream == "stdout" else 1


def _written(summary: CommandSummary) -> tuple[int, int]:
    return summary.stdout_bytes, summary.stderr_bytes


def _offsets(summary: CommandSummary, stream: str, offset: int) -> tuple[int, int]:
    """To follow one stream from `offset`, and of the other what is written from now on: all of it
    would otherwise be sent here, to be dropped. Raises BadOffset."""
    written = _written(summary)
    if offset > written[_index(stream)]:
        raise BadOffset(f"only {written[_index(stream)]} bytes have been written")
    return (offset, written[1]) if stream == "stdout" else (written[0], offset)


def _piece(piece: OutputSlice) -> Response:
    response = Response(piece.data, content_type=BYTES)
    response.headers["X-Output-Offset"] = str(piece.offset)
    response.headers["X-Output-Next"] = str(piece.next)
    response.headers["X-Output-Complete"] = "true" if piece.complete else "false"
    return response
