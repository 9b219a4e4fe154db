"""What happens to a command, as server-sent events (HTML standard, section 9.2)."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain

from flask import Response, request

from gateway.api.bodies.streamed_answers import streamed
from gateway.api.rest.accepted_types import prefers
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import BadRequest, ContainerGone, GatewayError, SandboxFault
from gateway.logs.line_budget import bounded_log
from gateway.middleware import language
from gateway.middleware.language import Texts
from gateway.middleware.problem_documents import public_detail
from gateway.schemas.event_encoder import EncodedEvent, encode_message
from gateway.schemas.models import SandboxEnded, SocketError
from gateway.use.sandbox_use import SandboxUse, SandboxUses

log = bounded_log(__name__)

MEDIA_TYPE = "text/event-stream"

FIRST_S = 1.0
"""So long the first event is waited for: until then, what is wrong is told by a status."""

HEARTBEAT_S = 15.0
"""Silence after which a comment is sent: proxies close connections that are silent for a minute,
and a client that has gone is noticed by writing to it only."""

_JOIN_BELOW = 128 * 1024
"""Bytes. Every piece is a write of its own; larger ones cost more to copy together."""

_HEARTBEAT = b":\n\n"

_END = "end"
_LAST_EVENT_ID = re.compile(r"([0-9]{1,19})-([0-9]{1,19})")


def is_asked_for(instead_of: str) -> bool:
    """Whether the client prefers an event stream to `instead_of`: it must name it in `Accept`."""
    return prefers(MEDIA_TYPE, instead_of)


@dataclass(frozen=True)
class LastEvent:
    """What the client has got already, as far as it says so."""

    is_end: bool = False
    """Everything. An answer of 204 makes browsers stop."""
    offsets: tuple[int, int] | None = None


def last_event() -> LastEvent:
    """From `Last-Event-ID`, which browsers send when they connect again. Raises BadRequest."""
    given = request.headers.get("Last-Event-ID", "")
    found = _LAST_EVENT_ID.fullmatch(given)
    if found is not None:
        return LastEvent(offsets=(int(found[1]), int(found[2])))
    if given not in ("", _END):
        raise BadRequest("Last-Event-ID is none that this gateway gave")
    return LastEvent(is_end=given == _END)


class EventStreams:
    """Answers requests with event streams."""

    def __init__(self, uses: SandboxUses, waiting: Waiting) -> None:
        self._uses = uses
        self._waiting = waiting

    def answer(
        self,
        story: Generator[EncodedEvent, None, None],
        *,
        use: SandboxUse,
        held: ExitStack,
        request_id: str,
        begun: Callable[[], bool] = lambda: True,
    ) -> Response:
        """The events of a command, the last of which is its result.

        Nothing is sent before the command has `begun`: that a client has left shows when something
        is sent, and would take the command with it. Takes over what is `held`, and lets it go when
        the last event has been sent or the client is gone. Raises what goes wrong before the first
        event.
        """
        told = self._waiting.each(story, first_s=FIRST_S, then_s=HEARTBEAT_S)
        held.callback(told.close)
        first = next(told, None)
        while first is None and not begun():
            first = next(told, None)
        events = _Events(self._uses, use, language.texts(), request_id)
        response = streamed(events.of(chain([first], told)), held, MEDIA_TYPE)
        # nginx would keep events back until it has 8 kB of them.
        response.headers["X-Accel-Buffering"] = "no"
        return response


class _Events:
    """One stream of events. Used when the request's context is gone."""

    def __init__(self, uses: SandboxUses, use: SandboxUse, texts: Texts, request_id: str) -> None:
        self._uses = uses
        self._use = use
        self._texts = texts
        self._request_id = request_id

    def of(self, told: Iterable[EncodedEvent | None]) -> Iterator[bytes]:
        """The stream's bytes."""
        try:
            for message in told:
                if message is None:
                    yield _HEARTBEAT
                    continue
                is_end = message.kind == "result"
                if is_end:
                    self._use.may_run = False
                name = _END if is_end else "{}-{}".format(*message.offsets)
                yield from event_bytes(message.kind, message.payload, f"id: {name}\n")
        except GatewayError as error:
            yield from self._failure(error)
        except Exception as error:
            log.exception("following a command failed")
            yield from self._failure(GatewayError(type(error).__name__))

    def _failure(self, error: GatewayError) -> Iterator[bytes]:
        sandbox_id = self._use.place.sandbox_id
        return failure_bytes(error, self._uses, sandbox_id, self._texts, self._request_id)


def failure_bytes(
    error: GatewayError,
    uses: SandboxUses,
    sandbox_id: str,
    texts: Texts,
    request_id: str | None = None,
) -> Iterator[bytes]:
    """The last event of a stream that cannot go on: `ended` where the sandbox is no more, else
    `error`."""
    if isinstance(error, ContainerGone | SandboxFault):
        reason = uses.end_of(sandbox_id)
        if reason is not None:
            ended = SandboxEnded(type="ended", reason=reason)
            yield from event_bytes("ended", encode_message(ended))
            return
    failed = SocketError(
        type="error",
        code=error.code,
        message=texts.localised(error),
        detail=public_detail(error),
        request_id=request_id,
    )
    yield from event_bytes("error", encode_message(failed))


def event_bytes(kind: str, payload: bytes | Iterable[bytes], id_line: str = "") -> Iterator[bytes]:
    """JSON as it is written here has no line breaks: it is one `data` line. Without an id the
    client keeps the last one, and may go on from there."""
    held = f"event: {kind}\n{id_line}data: ".encode()
    for piece in [payload] if isinstance(payload, bytes) else payload:
        if len(held) + len(piece) < _JOIN_BELOW:
            held += piece
        else:
            yield held
            held = piece
    yield held + b"\n\n"
