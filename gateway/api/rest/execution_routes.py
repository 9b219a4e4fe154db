"""The route that runs code in a context: the whole of it at the end, or events as it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import asdict
from itertools import chain
from typing import Any

import orjson
from flask import Blueprint, Response

from gateway.api.asking.client_presence import leaving
from gateway.api.asking.json_bodies import read_json
from gateway.api.bodies.streamed_answers import streamed
from gateway.api.rest import server_sent_events
from gateway.api.rest.command_routes import BODY_FAULTS
from gateway.api.rest.context_routes import CONTEXT_FAULTS
from gateway.api.rest.server_sent_events import (
    HEARTBEAT_S,
    MEDIA_TYPE,
    event_bytes,
    failure_bytes,
)
from gateway.api.rest.stoppable_waits import Waiting
from gateway.contexts.collected import Collected
from gateway.contexts.records import Began, Record, Shown, Written
from gateway.contexts.service import Contexts
from gateway.errors import (
    ContextNotFound,
    GatewayError,
    GatewayFull,
    TooManyExecutions,
    TooMuchUnread,
)
from gateway.middleware import language
from gateway.middleware.language import Texts
from gateway.schemas.models import (
    CodeExecute,
    ExecutionBegan,
    ExecutionEnded,
    ExecutionFailed,
    ExecutionOutput,
    ExecutionResult,
    ExecutionShown,
    SandboxEnded,
    SocketError,
)
from gateway.schemas.route_documentation import Reply, documented
from gateway.use.sandbox_use import SandboxUses

LOOK_S = 0.5
"""How often it is looked whether the client is still there: its code is interrupted when it has
left."""

EVENTS = (
    *(ExecutionBegan, ExecutionOutput, ExecutionShown, ExecutionFailed, ExecutionEnded),
    *(SocketError, SandboxEnded),
)

_HEARTBEAT = b":\n\n"
_END = b'{"type":"end"}'


def blueprint(contexts: Contexts, uses: SandboxUses, waiting: Waiting, cap: int) -> Blueprint:
    """The route `/sandboxes/{sandbox_id}/contexts/{context_id}/execute`. `cap` are bytes of stdout,
    of stderr and of results in an answer."""
    routes = Blueprint("executions", __name__, url_prefix="/sandboxes/<sandbox_id>/contexts")

    @routes.post("/<context_id>/execute")
    @documented(
        summary="Run code in a context",
        description="One execution at a time in a context; others wait, in the order of their "
        "coming. Code that fails is no error of the request: `error` tells it. A client that goes "
        "away interrupts what it has asked for, and the context keeps its state. `default` is the "
        "context that every sandbox of such an image has from the beginning.",
        tag="Contexts",
        body=CodeExecute,
        replies={
            200: Reply(
                ExecutionResult,
                "It has ended.",
                events=EVENTS,
                event_fields="`event` the `type` of the message.",
            )
        },
        errors=(
            *(*BODY_FAULTS, ContextNotFound, TooManyExecutions, TooMuchUnread, GatewayFull),
            *CONTEXT_FAULTS,
        ),
    )
    def execute(sandbox_id: str, context_id: str) -> Response:
        wanted = read_json(CodeExecute)
        is_streamed = server_sent_events.is_asked_for(instead_of="application/json")
        with ExitStack() as held:
            place = held.enter_context(uses.of(sandbox_id)).place
            execution = waiting.until(
                lambda: held.enter_context(
                    contexts.execute(place, context_id, wanted.code, wanted.env, wanted.timeout)
                )
            )
            told = waiting.each(execution.records(), first_s=LOOK_S, then_s=LOOK_S)
            held.callback(told.close)
            there = _while_there(told, leaving())
            if not is_streamed:
                collected = Collected(cap, held.enter_context(contexts.room_for(place)))
                collected.take(record for record in there if record is not None)
                return Response(orjson.dumps(collected.whole()), content_type="application/json")
            # What it is refused for comes at once, and has a status.
            first = next(there, None)
            events = _events(chain([first], there), uses, sandbox_id, language.texts())
            response = streamed(events, held, MEDIA_TYPE)
        response.headers["X-Accel-Buffering"] = "no"
        return response

    return routes


def _while_there(
    told: Iterable[Record | None], has_left: Callable[[], bool]
) -> Iterator[Record | None]:
    """The same until the client has left; None as often as it is looked for, at first too."""
    for record in told:
        if record is None and has_left():
            return
        yield record


def _events(
    told: Iterable[Record | None], uses: SandboxUses, sandbox_id: str, texts: Texts
) -> Iterator[bytes]:
    silent_s = 0.0
    try:
        for record in told:
            if record is not None:
                silent_s = 0.0
                message = _message(record)
                yield from event_bytes(message["type"], orjson.dumps(message))
                continue
            silent_s += LOOK_S
            if silent_s >= HEARTBEAT_S:
                silent_s = 0.0
                yield _HEARTBEAT
        yield from event_bytes("end", _END)
    except GatewayError as error:
        yield from failure_bytes(error, uses, sandbox_id, texts)


def _message(record: Record) -> dict[str, Any]:
    """As one of EVENTS."""
    if isinstance(record, Began):
        return {"type": "begin", "execution_count": record.execution_count}
    if isinstance(record, Written):
        return {"type": record.stream, "text": record.text}
    if isinstance(record, Shown):
        return {"type": "result", "is_main_result": record.is_main, "data": record.data}
    return {"type": "exception", **asdict(record)}
