"""What a remote procedure call says about itself, and its messages as they come."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import gevent
import orjson
from flask import g, request

from gateway.api.e2b.envelopes import MESSAGE_BYTES, messages_in
from gateway.api.e2b.rpc_errors import TIME_IS_UP, RpcError
from gateway.schemas.json_in_threads import read_aside

UNARY = "application/json"
STREAM = "application/connect+json"

WITHIN_S = 20.0
"""Time that the whole of a single message may take."""

KEEPALIVE_S = 90.0
SHORTEST_KEEPALIVE_S = 1.0
"""Silence after which a stream says that it is still there, unless the client names another."""

LONGEST_TIMEOUT_S = 30 * 24 * 3600.0
"""A deadline later than this is none."""

_MILLISECONDS = re.compile(r"[0-9]{1,10}")
_SECONDS = re.compile(r"[0-9]{1,6}")
_LONGEST_ECHO = 100

_MESSAGE_PIECE = 64 * 1024


@dataclass(frozen=True)
class Call:
    """One call. Times are monotonic, in seconds."""

    began: float
    timeout_s: float | None
    """From `began` on."""
    keepalive_s: float

    def left_s(self) -> float | None:
        """Seconds to the deadline, not below 0; None where there is none."""
        if self.timeout_s is None:
            return None
        return max(0.0, self.began + self.timeout_s - time.monotonic())


def current_call() -> Call:
    """That of the current request."""
    found: Call = g.e2b_call
    return found


def begin_call(content_type: str) -> Call:
    """Look at the head of the current request, which has to be of this type. Raises RpcError."""
    began = time.monotonic()
    sent = request.headers.get("Content-Type", "")
    if sent.partition(";")[0].strip().lower() != content_type:
        raise RpcError("unknown", f"the content type has to be {content_type}")
    version = request.headers.get("Connect-Protocol-Version", "1")
    if version != "1":
        raise RpcError("invalid_argument", f"connect-protocol-version {_short(version)} is not 1")
    for name in ("Content-Encoding", "Connect-Content-Encoding"):
        coding = request.headers.get(name, "identity").strip().lower()
        if coding not in ("", "identity"):
            raise RpcError("unimplemented", f"unknown compression {_short(coding)}")
    call = Call(began, _timeout_s(), _keepalive_s())
    g.e2b_call = call
    return call


def _timeout_s() -> float | None:
    given = request.headers.get("Connect-Timeout-Ms")
    if given is None:
        return None
    if not _MILLISECONDS.fullmatch(given):
        raise RpcError("invalid_argument", f"connect-timeout-ms {_short(given)} is no number")
    timeout_s = int(given) / 1000
    return timeout_s if timeout_s <= LONGEST_TIMEOUT_S else None


def _keepalive_s() -> float:
    """What is no number of seconds is passed over, as E2B does."""
    given = request.headers.get("Keepalive-Ping-Interval", "")
    if not _SECONDS.fullmatch(given):
        return KEEPALIVE_S
    return max(SHORTEST_KEEPALIVE_S, float(given))


def only_message() -> dict[str, Any]:
    """The message of a unary call. Raises RpcError."""
    with _in_time():
        raw = b""
        for piece in body_pieces():
            raw += piece
            if len(raw) > MESSAGE_BYTES:
                raise RpcError("resource_exhausted", f"the message exceeds {MESSAGE_BYTES} bytes")
    return decoded(raw) if raw else {}


def first_message() -> dict[str, Any]:
    """The one message of a call that is answered by a stream; the body is read to its end. Raises
    RpcError."""
    found = None
    with _in_time():
        for message in messages_in(body_pieces()):
            if found is not None:
                raise RpcError("unimplemented", "the request has more than one message")
            found = message
    if found is None:
        raise RpcError("unimplemented", "the request has no message")
    return decoded(found)


def each_message() -> Iterator[dict[str, Any]]:
    """The messages of a stream that the client sends, as they come. Raises RpcError."""
    for message in messages_in(body_pieces()):
        yield decoded(message)


def _in_time() -> Any:
    return gevent.Timeout(WITHIN_S, RpcError("deadline_exceeded", TIME_IS_UP))


def body_pieces() -> Iterator[bytes]:
    """The body of the current request as it comes, without waiting for more than there is."""
    stream = request.environ["wsgi.input"]
    received = getattr(stream, "request", None)
    while True:
        # gunicorn's own `read` waits for 1024 bytes of a chunked body.
        piece = stream.read(_MESSAGE_PIECE) if received is None else received.piece()
        if not piece:
            return
        yield piece


def decoded(raw: bytes) -> dict[str, Any]:
    """A message's JSON. Raises RpcError."""
    try:
        value = read_aside(raw, lambda: orjson.loads(raw))
    except orjson.JSONDecodeError as error:
        raise RpcError("invalid_argument", f"the message is no JSON: {error}"[:200]) from None
    if not isinstance(value, dict):
        raise RpcError("invalid_argument", "the message is no JSON object")
    return value


def _short(text: str) -> str:
    return repr(text[:_LONGEST_ECHO])
