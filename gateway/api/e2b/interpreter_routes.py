"""What E2B's clients call the code interpreter: contexts, and executions as lines of JSON."""

from __future__ import annotations

import errno
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import Any, Protocol, TypeVar

import orjson
from flask import Blueprint, Response, request

from gateway.api.e2b import interpreter_requests
from gateway.api.e2b.interpreter_results import message_of
from gateway.contexts.records import Record
from gateway.contexts.service import DEFAULT, CodeContext, Contexts, demand_language
from gateway.errors import ContextNotFound, ContextsMissing, GatewayError
from gateway.logs.line_budget import bounded_log
from gateway.process.slow_client_writes import drop
from gateway.use.sandbox_use import SandboxUses

MEDIA_TYPE = "application/x-ndjson"

LOOK_S = 0.5
"""How often it is looked whether the client is still there: its code is interrupted when it has
left, which is how a time limit of these clients shows."""

KEEPALIVE_S = 5.0
"""Silence after which a line says that code still runs."""

_KEEPALIVE = b'{"type":"keepalive"}\n'
_END = b'{"type":"end_of_execution"}\n'

log = bounded_log(__name__)

Value = TypeVar("Value")


class Waiting(Protocol):
    """Waits in the place of requests: `gateway.api.rest.stoppable_waits.Waiting`."""

    def until(self, work: Callable[[], Value]) -> Value: ...

    def each(
        self, items: Generator[Value, None, None], *, first_s: float, then_s: float
    ) -> Generator[Value | None, None, None]: ...


def blueprint(
    contexts: Contexts,
    uses: SandboxUses,
    waiting: Waiting,
    leaving: Callable[[], Callable[[], bool]],
) -> Blueprint:
    """The routes of port 49999. `uses` are those of short requests, `leaving` gives what tells
    whether the client of the current request has left."""
    routes = Blueprint("e2b_interpreter", __name__, url_prefix="/e2b/interpreter/<sandbox_id>")

    @routes.get("/health")
    def health(sandbox_id: str) -> Response:
        with uses.of(sandbox_id):
            return _text("OK", 200)

    @routes.post("/execute")
    def execute(sandbox_id: str) -> Response:
        wanted = interpreter_requests.execute()
        client = _Client(leaving(), request.environ.get("gunicorn.socket"))
        with ExitStack() as held:
            demand_language(wanted.language)
            context_id = wanted.context_id or DEFAULT
            place = held.enter_context(uses.of(sandbox_id)).place
            execution = waiting.until(
                lambda: held.enter_context(
                    contexts.execute(place, context_id, wanted.code, wanted.env)
                )
            )
            told = waiting.each(execution.records(), first_s=LOOK_S, then_s=LOOK_S)
            held.callback(told.close)
            # What it is refused for comes at once, and has a status.
            first = next(told, None)
            response = Response(_lines(first, told, client), content_type=MEDIA_TYPE)
            response.call_on_close(held.pop_all().close)
        return response

    @routes.post("/contexts")
    def create(sandbox_id: str) -> Response:
        wanted = interpreter_requests.create()
        with uses.of(sandbox_id) as use:
            made = waiting.until(lambda: contexts.create(use.place, wanted.language, wanted.cwd))
        return _json(_shown(made))

    @routes.get("/contexts")
    def show_all(sandbox_id: str) -> Response:
        with uses.of(sandbox_id) as use:
            found = waiting.until(lambda: contexts.list(use.place))
        return _json([_shown(one) for one in found])

    @routes.post("/contexts/<context_id>/restart")
    def restart(sandbox_id: str, context_id: str) -> Response:
        with uses.of(sandbox_id) as use:
            waiting.until(lambda: contexts.restart(use.place, context_id))
        return _text("", 200)

    @routes.delete("/contexts/<context_id>")
    def delete(sandbox_id: str, context_id: str) -> Response:
        with uses.of(sandbox_id) as use:
            waiting.until(lambda: contexts.delete(use.place, context_id))
        return _text("", 200)

    @routes.errorhandler(ContextNotFound)
    def no_context(_error: ContextNotFound) -> Response:
        found = (request.view_args or {}).get("context_id")
        return _text(f"Context {found} not found" if found else "Context not found", 404)

    @routes.errorhandler(ContextsMissing)
    def no_kernel(error: ContextsMissing) -> Response:
        return _text(f"No kernel: {error}", 500)

    return routes


class _Client:
    """The connection of whoever has asked; None where the server does not hand it out."""

    def __init__(self, has_left: Callable[[], bool], connection: Any) -> None:
        self.has_left = has_left
        self._connection = connection

    def cut_off(self) -> None:
        """End the connection in disorder: what was sent is not to be taken for the whole. Raises
        ConnectionResetError, by which the server lets go of it."""
        if self._connection is not None:
            drop(self._connection)
        raise ConnectionResetError(errno.ECONNRESET, "the execution was cut off")


def _lines(
    first: Record | None, rest: Generator[Record | None, None, None], client: _Client
) -> Iterator[bytes]:
    """To the end of the execution, or until the client has left. What cannot go on is cut off: the
    client then asks whether the sandbox is still there."""
    silent_s = 0.0
    try:
        if first is not None:
            yield _line(first)
        for record in rest:
            if record is not None:
                silent_s = 0.0
                yield _line(record)
                continue
            if client.has_left():
                return
            silent_s += LOOK_S
            if silent_s >= KEEPALIVE_S:
                silent_s = 0.0
                yield _KEEPALIVE
        yield _END
    except GatewayError as error:
        log.info("an execution was cut off: %s", error)
        client.cut_off()


def _line(record: Record) -> bytes:
    return orjson.dumps(message_of(record)) + b"\n"


def _shown(context: CodeContext) -> dict[str, str]:
    return {"id": context.context_id, "language": context.language, "cwd": context.cwd}


def _json(told: object) -> Response:
    return Response(orjson.dumps(told), content_type="application/json")


def _text(text: str, status: int) -> Response:
    return Response(text, status, content_type="text/plain; charset=utf-8")
