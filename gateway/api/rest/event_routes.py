"""Routes of what happened to sandboxes: as a list, or live as server-sent events."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import chain

import orjson
from flask import Blueprint, Response, request

from gateway.api.bodies.streamed_answers import streamed
from gateway.api.rest import answers
from gateway.api.rest.backend import EventLike, LifecycleService
from gateway.api.rest.query_strings import read_query
from gateway.api.rest.server_sent_events import HEARTBEAT_S, MEDIA_TYPE, event_bytes, is_asked_for
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import (
    BadFields,
    BadRequest,
    GatewayError,
    GatewayStopping,
    SandboxNotFound,
    StoreUnavailable,
    TooManyFollowers,
)
from gateway.middleware import authentication
from gateway.schemas.models import Event, EventQuery
from gateway.schemas.route_documentation import Reply, documented

_HEARTBEAT = b":\n\n"

_FIELDS = (
    "`event` its `event`, `id` its `id`, after which a client that connects again goes on "
    "(`Last-Event-ID`)."
)


def blueprint(lifecycle: LifecycleService, waiting: Waiting) -> Blueprint:
    """`/events` and `/sandboxes/{sandbox_id}/events`."""
    routes = Blueprint("lifecycle_events", __name__)

    @routes.get("/events")
    @documented(
        summary="What happened to all sandboxes",
        description="Oldest first, of the last days (`SANDBOX_CERTIFICATE_DAYS`). A stream goes on "
        "with what happens, as it does; without `after` it begins now.",
        tag="Sandboxes",
        query=EventQuery,
        headers={"Last-Event-ID": "Event stream: id of the last event that the client has."},
        replies={200: Reply(list[Event], events=(Event,), event_fields=_FIELDS)},
        errors=(BadFields, TooManyFollowers, GatewayStopping, StoreUnavailable),
    )
    def of_all() -> Response:
        return answer(None)

    @routes.get("/sandboxes/<sandbox_id>/events")
    @documented(
        summary="What happened to a sandbox",
        description="Oldest first; also after its end, for days (`SANDBOX_CERTIFICATE_DAYS`). A "
        "stream goes on with what happens, as it does, and ends with the sandbox.",
        tag="Sandboxes",
        query=EventQuery,
        headers={"Last-Event-ID": "Event stream: id of the last event that the client has."},
        replies={
            200: Reply(list[Event], events=(Event,), event_fields=_FIELDS),
            204: Reply(description="Event stream: nothing follows any more.", media_type=None),
        },
        errors=(BadFields, SandboxNotFound, TooManyFollowers, GatewayStopping, StoreUnavailable),
    )
    def of_one(sandbox_id: str) -> Response:
        return answer(sandbox_id)

    def answer(sandbox_id: str | None) -> Response:
        query = read_query(EventQuery)
        if is_asked_for("application/json"):
            return stream(sandbox_id, query)
        found = lifecycle.since(
            query.after, sandbox_id=sandbox_id, owner=_owner(), limit=query.limit
        )
        return answers.array(map(_shown, found))

    def stream(sandbox_id: str | None, query: EventQuery) -> Response:
        # Raises before the answer begins.
        lifecycle.since(0, sandbox_id=sandbox_id, owner=_owner(), limit=1)
        after = _last_event_id()
        if after is None:
            after = query.after
            if sandbox_id is None and "after" not in query.model_fields_set:
                after = lifecycle.last_number()
        elif sandbox_id is not None and _is_last(after, sandbox_id):
            return answers.nothing()
        with ExitStack() as held:
            held.enter_context(lifecycle.place_of(authentication.caller().name))
            told = waiting.each(
                lifecycle.follow(after, sandbox_id=sandbox_id, owner=_owner()),
                first_s=0.0,
                then_s=HEARTBEAT_S,
            )
            held.callback(told.close)
            response = streamed(_bytes_of(told), held, MEDIA_TYPE)
        response.headers["X-Accel-Buffering"] = "no"
        return response

    def _is_last(number: int, sandbox_id: str) -> bool:
        """Whether the client has the end of the sandbox. Browsers connect again and again to a
        stream that ended, until they get a 204."""
        found = lifecycle.since(number - 1, sandbox_id=sandbox_id, owner=_owner(), limit=1)
        return any(event.number == number and event.event == "ended" for event in found)

    return routes


def _bytes_of(told: Generator[Sequence[EventLike] | None, None, None]) -> Iterator[bytes]:
    try:
        for events in told:
            if events is None:
                yield _HEARTBEAT
            else:
                yield b"".join(chain.from_iterable(map(_lines, events)))
    except GatewayError:
        return  # the client connects again, and goes on from the last id


def _lines(event: EventLike) -> Iterable[bytes]:
    return event_bytes(event.event, _shown(event), f"id: {event.number}\n")


def _owner() -> str | None:
    """Whose events the current request may see; None: everybody's."""
    return authentication.caller().name or None


def _last_event_id() -> int | None:
    given = request.headers.get("Last-Event-ID", "")
    if not given:
        return None
    if not given.isdecimal() or len(given) > 18:
        raise BadRequest("Last-Event-ID is none that this gateway gave")
    return int(given)


def _shown(event: EventLike) -> bytes:
    """As `gateway.schemas.models.Event`, but written directly: a page has a thousand of them. What
    is noted of an event never takes the place of the four fields that all have."""
    own = {
        "id": event.number,
        "sandbox_id": event.sandbox_id,
        "at": round(event.at, 3),
        "event": event.event,
    }
    return orjson.dumps(own | {name: v for name, v in event.facts.items() if name not in own})
