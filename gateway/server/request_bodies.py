"""Bodies of requests, by their framing: read by the application, or taken off raw."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import InvalidChunkSize

from gateway.server.fair_reading import FairUnreader

FRAMING_BYTES = 64 * 1024
"""What the sizes and extensions of a chunked body's chunks may take, besides one byte for each byte
of content. Chunks of one byte cost 7 ms of a worker per 8 KiB."""

CHUNKS_PER_READ = 50
"""So many chunks count as another read: parsing them takes 0.3 ms."""


class FairChunks(ChunkedReader):  # type: ignore[misc]  # gunicorn has no types
    """A chunked body. Lets others run between chunks, and bounds what is not content."""

    parser: Iterator[bytes] | None
    buf: BytesIO

    def __init__(self, request: Any, unreader: FairUnreader) -> None:
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
