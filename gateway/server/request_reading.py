"""Requests as they come off a connection, bounded in bytes and time.

gunicorn's parser trusts its peer: it reads the rest of an unread body without limit before the
next request.
"""

from __future__ import annotations

import select
from typing import Any

import gevent
from gevent.monkey import get_original
from gunicorn.http.body import Body, ChunkedReader
from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

from gateway.process.giving_way import Rate
from gateway.server.fair_reading import FairUnreader
from gateway.server.request_bodies import AwaitedBody, FairChunks, WholeBody

REQUEST_LINE_BYTES = 28 * 1024
"""A path in a sandbox has up to 4,096 bytes, percent-encoded 12,288, and an address may hold two of
them. gunicorn takes 8,190 at most, and 4,094 unless it is told otherwise."""

HEAD_S = 20.0
"""From the first byte of a request to the end of its header fields."""

TRAILER_BYTES = 16 * 1024

_METADATA = "X-METADATA-"

PIPELINED_PER_S = 200
PIPELINED_AT_ONCE = 20
"""Requests of one connection that were sent before the last one was answered. A request costs more
than a read, and has its answer to wait for."""


class HeadTooSlow(Exception):
    """The header fields of a request did not arrive in time."""


class _WaitEnded(Exception):
    """Nobody waits for another request any more."""


class BoundedRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request whose connection ends with it unless its body was read to the end."""

    body: Body
    is_last = False
    """Whether the worker wants no further one from this connection."""
    _said_last: bool | None = None
    """What the client was told of that."""
    _expected_100_continue: bool
    metadata_headers: list[tuple[str, str]]
    """Names and values of those `X-Metadata-…` headers whose names have underscores. gunicorn drops
    them, for WSGI knows no other name of the same with a hyphen; here they are nothing else."""

    def __init__(
        self, cfg: Any, unreader: FairUnreader, peer_address: Any, number: int = 1
    ) -> None:
        self.metadata_headers = []
        unreader.begin_head()
        try:
            super().__init__(cfg, unreader, peer_address, number)
        finally:
            unreader.end_head()

    def parse(self, unreader: FairUnreader) -> bytes:
        """Parse the head; gunicorn calls this. Raises what it raises for malformed requests."""
        # Where gunicorn has read its own setting, and cut it to 8,190.
        self.limit_request_line = self._fast_limit_request_line = REQUEST_LINE_BYTES
        unused: bytes = super().parse(unreader)
        return unused

    def _apply_header_policy(
        self, name: str, value: str, *state: Any, **source: Any
    ) -> tuple[str, str] | None:
        """gunicorn calls this with each header field; None drops it."""
        kept: tuple[str, str] | None = super()._apply_header_policy(name, value, *state, **source)
        if kept is None and name.startswith(_METADATA):
            self.metadata_headers.append((name, value))
        return kept

    def set_body_reader(self) -> None:
        """Choose how the body is read, by its framing."""
        super().set_body_reader()
        reader = self.body.reader
        if isinstance(reader, ChunkedReader):
            self.max_buffer_headers = TRAILER_BYTES
            reader = FairChunks(self, self.unreader)
        # gunicorn would ask for the body before anybody has looked at the head.
        is_awaited = self._expected_100_continue and not self.is_read
        self._expected_100_continue = False
        self.body = AwaitedBody(reader, self.unreader) if is_awaited else WholeBody(reader)
        # Where an application finds more than WSGI tells of a request.
        self.body.request = self

    @property
    def is_chunked(self) -> bool:
        """Whether the length of the body is not known beforehand."""
        return isinstance(self.body.reader, ChunkedReader)

    @property
    def is_awaited(self) -> bool:
        """Whether the client waits to be told to send the body."""
        return isinstance(self.body, AwaitedBody) and self.body._is_awaited

    def piece(self) -> bytes:
        """What comes next of the body, without waiting for more; b"" at its end. In the place of
        reading `body`. Raises what gunicorn raises for broken bodies, and OSError."""
        body, reader = self.body, self.body.reader
        try:
            if isinstance(body, AwaitedBody):
                body.ask()
            if isinstance(reader, FairChunks):
                return reader.piece()
            if reader.length == 0:
                return b""
            found: bytes = self.unreader.read(None, read_ahead=reader.length)
            if not found:
                raise NoMoreData()
            piece = found[: reader.length]
            if len(piece) < len(found):
                self.unreader.unread(found[len(piece) :])
            reader.length -= len(piece)
            return piece
        except BaseException:  # also when its greenlet is killed: something may be lost then
            body.failed = True
            raise

    @property
    def is_read(self) -> bool:
        """Whether the whole body was read, so that the next byte belongs to the next request."""
        reader = self.body.reader
        if isinstance(reader, ChunkedReader):
            return reader.parser is None and not self.body.failed
        return bool(reader.length == 0) and not self.body.failed

    def should_close(self) -> bool:
        """Asked when the head of the answer is written, and before the next request is read."""
        if self._said_last is None:
            self._said_last = self.is_last
        return self._said_last or not self.is_read or bool(super().should_close())


class Requests(RequestParser):  # type: ignore[misc]  # gunicorn has no types
    """The requests on one connection, one after the other."""

    mesg_class = BoundedRequest

    def __init__(self, cfg: Any, client: Any, address: Any) -> None:
        super().__init__(cfg, client, address)
        self.unreader = FairUnreader(client)
        self._pipelined = Rate(PIPELINED_PER_S, PIPELINED_AT_ONCE)
        self._waiting: gevent.Greenlet | None = None
        """Waits for the first byte of a request: only there may its wait be ended."""
        self._is_ending = False

    def give_way(self) -> None:
        """Between two requests."""
        self.unreader.give_way()
        if self.unreader.buf.getvalue():
            self._pipelined.take(1)

    def next_within(self, idle_s: float) -> BoundedRequest | None:
        """The next request; None when the client sends nothing for `idle_s` seconds, or has left.

        Raises HeadTooSlow, what gunicorn raises for malformed requests, and OSError.
        """
        if self.mesg is not None and self.mesg.should_close():
            return None
        first = self._first_bytes(0 if self._is_ending else idle_s)
        if not first:
            return None
        self.unreader.unread(first)
        with gevent.Timeout(HEAD_S, HeadTooSlow(f"not complete after {HEAD_S:g} s")):
            request: BoundedRequest = next(self)
        request.is_last = self._is_ending
        return request

    def _first_bytes(self, idle_s: float) -> bytes:
        first = b""
        self._waiting = gevent.getcurrent()
        try:
            with gevent.Timeout(idle_s, False):
                first = self.unreader.read()
        except _WaitEnded:
            pass
        finally:
            self._waiting = None
        # A request that came at the last moment is not in vain.
        return first or (self.unreader.read() if _has_arrived(self.unreader.sock) else b"")

    def end(self) -> None:
        """Wait for no further request; the answer to the one in hand says so, if it can still. One
        that has begun to come is read all the same, and the first of a new connection waited for.
        """
        if self.mesg is not None:
            self._is_ending = self.mesg.is_last = True
            self.end_wait()

    def end_wait(self) -> None:
        """Wait for nothing that has not begun to come."""
        # Thrown by the hub, which no greenlet interrupts: it waits still, or does not any more.
        gevent.get_hub().loop.run_callback(self._throw)

    def _throw(self) -> None:
        if self._waiting is not None:
            self._waiting.throw(_WaitEnded)


def _has_arrived(client: Any) -> bool:
    """Whether there is something to read, or the end."""
    look = get_original("select", "poll")()
    look.register(client, select.POLLIN)
    return bool(look.poll(0))
