"""Requests as they come off a connection: bounded in bytes and time, and never alone on the hub.

gunicorn's parser trusts its peer: it reads the rest of an unread body without limit before the
next request, and gevent's recv returns at once, without letting other greenlets run, as long as
bytes are ready. Three connections that send for ever stopped a worker for everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import gevent
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import InvalidChunkSize, LimitRequestHeaders, NoMoreData
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import SocketUnreader

from gateway.process.giving_way import Rate, Turn

HEAD_BYTES = 64 * 1024
"""Request line and header fields of one request together, and what was read along with them.
gunicorn itself bounds each field and their number, which allows 819 kB, scanned at each read."""

REQUEST_LINE_BYTES = 28 * 1024
"""A path in a sandbox has up to 4,096 bytes, percent-encoded 12,288, and an address may hold two of
them. gunicorn takes 8,190 at most, and 4,094 unless it is told otherwise."""

HEAD_S = 20.0
"""From the first byte of a request to the end of its header fields."""

TRAILER_BYTES = 16 * 1024

FRAMING_BYTES = 64 * 1024
"""What the sizes and extensions of a chunked body's chunks may take, besides one byte for each byte
of content. Chunks of one byte cost 7 ms of a worker per 8 KiB."""

READS_PER_S = 1000
READS_AT_ONCE = 20
"""Of one connection: so the rest of the worker's time stays for others, not only their turns."""

CHUNKS_PER_READ = 50
"""So many chunks count as another read: parsing them takes 0.3 ms."""

PIPELINED_PER_S = 200
PIPELINED_AT_ONCE = 20
"""Requests of one connection that were sent before the last one was answered. A request costs more
than a read, and has its answer to wait for."""


class HeadTooSlow(Exception):
    """The header fields of a request did not arrive in time."""


class FairUnreader(SocketUnreader):  # type: ignore[misc]  # gunicorn has no types
    """Reads from a client's socket, and lets others run before each read."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self._turn = Turn()
        self._reads = Rate(READS_PER_S, READS_AT_ONCE)
        self.received = 0
        """Bytes, of all requests."""
        self._unpaced = 0
        """Bytes of the last read, which are dealt with until the next one."""
        self._head_ends_at: int | None = None

    def give_way(self) -> None:
        """Let others run when it is their turn, and wait where this connection reads too often."""
        size, self._unpaced = self._unpaced, 0
        self._turn.took(size)
        self._reads.take(1)

    def chunk(self, size_hint: int | None = None) -> bytes:
        """What has arrived. Raises LimitRequestHeaders within a head that is too long."""
        self.give_way()
        data: bytes = super().chunk(size_hint)
        self._turn.begins()
        self._unpaced = len(data)
        self.received += len(data)
        if self._head_ends_at is not None and self.received > self._head_ends_at:
            raise LimitRequestHeaders("the header fields are too large together")
        return data

    def ask_for_body(self) -> None:
        """Unless it has begun to come. Raises OSError."""
        if not self.buf.getvalue():
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def begin_head(self) -> None:
        """From here to `end_head`, no more than HEAD_BYTES are read."""
        self._head_ends_at = self.received + HEAD_BYTES

    def end_head(self) -> None:
        self._head_ends_at = None


class FairChunks(ChunkedReader):  # type: ignore[misc]  # gunicorn has no types
    """A chunked body. Lets others run between chunks, and bounds what is not content."""

    parser: Iterator[bytes] | None
    buf: BytesIO

    def __init__(self, request: BoundedRequest, unreader: FairUnreader) -> None:
        super().__init__(request, unreader)
        self._source = unreader
        self._begun_at = unreader.received
        self._content = 0
        self._pieces = 0

    def read(self, size: int) -> bytes:
        """Up to `size` bytes. Raises InvalidChunkSize where framing is out of proportion."""
        chunks = 0
        while self.parser and self.buf.tell() < size:
            piece = next(self.parser, None)
            if piece is None:
                self.parser = None
                break
            self.buf.write(piece)
            self._content += len(piece)
            chunks += 1
            if chunks % CHUNKS_PER_READ == 0:
                self._source.give_way()
            self._check_framing()
        read: bytes = super().read(size)
        return read

    def piece(self) -> bytes:
        """What comes next of the content, without waiting for more; b"" at its end. Raises as
        `read` does, with which it is not mixed."""
        if self.parser is None:
            return b""
        self._pieces += 1
        if self._pieces % CHUNKS_PER_READ == 0:
            self._source.give_way()
        piece = next(self.parser, b"")
        if not piece:
            self.parser = None
        self._content += len(piece)
        self._check_framing()
        return piece

    def _check_framing(self) -> None:
        if self._source.received - self._begun_at > 2 * self._content + FRAMING_BYTES:
            raise InvalidChunkSize(b"the chunks are too small")


class WholeBody(Body):  # type: ignore[misc]  # gunicorn has no types
    """A body that may also be taken off the connection by somebody else."""

    def raw(self) -> tuple[bytes, Any] | None:
        """The bytes that have come already, and the socket that the rest comes on, if the length is
        known and nothing was read. `took` must be told of each byte that is taken."""
        reader = self.reader
        if not isinstance(reader, LengthReader) or self.buf.tell():
            return None
        held = reader.unreader.take_buffered()
        mine, others = held[: reader.length], held[reader.length :]
        if others:
            reader.unreader.unread(others)
        self.took(len(mine))
        return mine, reader.unreader.sock

    def took(self, count: int) -> None:
        """So many bytes were taken off the connection."""
        self.reader.length -= count


class AwaitedBody(WholeBody):
    """A body that the client sends when it is told to (RFC 9110, section 10.1.1). It is told so by
    the first read: who is refused by the head alone is not asked for the body."""

    def __init__(self, reader: Any, unreader: FairUnreader) -> None:
        super().__init__(reader)
        self._unreader = unreader
        self._is_awaited = True

    def raw(self) -> tuple[bytes, Any] | None:
        """See `WholeBody`."""
        self.ask()
        return super().raw()

    def ask(self) -> None:
        """Tell the client to send it, unless it was told. Raises OSError."""
        if self._is_awaited:
            self._is_awaited = False
            self._unreader.ask_for_body()

    def _read_reader(self, size: int) -> bytes:
        self.ask()
        read: bytes = super()._read_reader(size)
        return read


class BoundedRequest(Request):  # type: ignore[misc]  # gunicorn has no types
    """A request whose connection ends with it unless its body was read to the end."""

    body: Body
    _expected_100_continue: bool

    def __init__(
        self, cfg: Any, unreader: FairUnreader, peer_address: Any, number: int = 1
    ) -> None:
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
        return not self.is_read or bool(super().should_close())


class Requests(RequestParser):  # type: ignore[misc]  # gunicorn has no types
    """The requests on one connection, one after the other."""

    mesg_class = BoundedRequest

    def __init__(self, cfg: Any, client: Any, address: Any) -> None:
        super().__init__(cfg, client, address)
        self.unreader = FairUnreader(client)
        self._pipelined = Rate(PIPELINED_PER_S, PIPELINED_AT_ONCE)

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
        first = b""
        with gevent.Timeout(idle_s, False):
            first = self.unreader.read()
        if not first:
            return None
        self.unreader.unread(first)
        with gevent.Timeout(HEAD_S, HeadTooSlow(f"not complete after {HEAD_S:g} s")):
            request: BoundedRequest = next(self)
        return request
