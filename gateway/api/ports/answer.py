"""A server's answer on its way to the client: framed anew, for another hop."""

from __future__ import annotations

from collections.abc import Iterator

import h11

from gateway.api.ports.client import Client
from gateway.api.ports.request_headers import Headers, of_connection
from gateway.api.ports.server import Server
from gateway.api.ports.upload import last_chunk

WITHOUT_BODY = frozenset((204, 304))


class Truncated(Exception):
    """The server ended the connection in the middle of its answer, or broke the format."""


class Answer:
    """The head of an answer, and how its body goes on. `fields` are what the client gets of it."""

    def __init__(self, head: h11.Response, client: Client) -> None:
        self.status = head.status_code
        self.reason = bytes(head.reason)
        self.fields = fields_of(head)
        names = {name.lower() for name, _value in self.fields}
        self._client = client
        self._is_1_0 = head.http_version < b"1.1"
        self._closes = self._is_1_0 or "close" in of_connection(self.fields)
        is_head = client.request.method == "HEAD"
        self.has_body = not (is_head or self.status in WITHOUT_BODY)
        self.size: int | None = None
        """Of the body; of a HEAD's, what a GET would have."""
        if "transfer-encoding" not in names and "content-length" in names:
            self.size = int(_first(self.fields, "content-length"))
        self.ends_with_connection = (
            self.has_body and self.size is None and "transfer-encoding" not in names
        )

    @property
    def may_be_kept(self) -> bool:
        """Whether the connection to the server may serve another request after it."""
        return not (self._closes or self.ends_with_connection)

    def head(self, fields: Headers) -> bytes:
        """What stands before the body, with `fields` and those of this hop."""
        own = list(fields)
        if self.size is not None and self.status != 204:
            own.append(("Content-Length", str(self.size)))
        elif self._is_chunked:
            own.append(("Transfer-Encoding", "chunked"))
        if not self._client.takes_chunks:
            self._client.close_after()
        if self._client.will_close():
            own.append(("Connection", "close"))
        return written_head(self.status, self.reason, own)

    @property
    def _is_chunked(self) -> bool:
        """Towards the client."""
        return self.has_body and self.size is None and self._client.takes_chunks

    def relay(
        self, head: bytes, parser: h11.Connection, server: Server, buffer: memoryview
    ) -> bool:
        """Write `head` and the body; whether nothing came after it. Raises Truncated, ClientLeft,
        and what `Server` does."""
        out = _Out(self._client, head)
        if self.has_body and self.size is not None:
            self._relay_known(out, self.size, parser, server, buffer)
        else:
            self._relay_parsed(out, parser, server, buffer)
        out.flush()
        return not parser.trailing_data[0]

    def _relay_known(
        self, out: _Out, size: int, parser: h11.Connection, server: Server, buffer: memoryview
    ) -> None:
        """Bytes are only counted: parsing them would cost more than all the rest."""
        left = size
        for piece in _parsed_already(parser):
            out.write(piece)
            left -= len(piece)
        while left:
            out.flush()
            count = server.read_into(buffer[: min(left, len(buffer))])
            if not count:
                raise Truncated(f"{left} bytes are missing")
            out.write(buffer[:count])
            left -= count

    def _relay_parsed(
        self, out: _Out, parser: h11.Connection, server: Server, buffer: memoryview
    ) -> None:
        while True:
            try:
                event = parser.next_event()
            except h11.RemoteProtocolError as error:
                raise Truncated(str(error)) from error
            if isinstance(event, h11.Data):
                out.write(_as_chunk(event.data) if self._is_chunked else event.data)
            elif isinstance(event, h11.EndOfMessage):
                if self._is_chunked:
                    out.write(last_chunk(_trailers(event)))
                return
            elif event is h11.NEED_DATA:
                out.flush()
                parser.receive_data(bytes(buffer[: server.read_into(buffer)]))
            else:
                raise Truncated("the server ended the connection")


class _Out:
    """Joins the head with the first piece of the body, if that is there already."""

    def __init__(self, client: Client, head: bytes) -> None:
        self._client = client
        self._head = head

    def write(self, data: bytes | bytearray | memoryview) -> None:
        head, self._head = self._head, b""
        self._client.write(head + data if head else data)

    def flush(self) -> None:
        if self._head:
            self.write(b"")


def fields_of(head: h11.Response | h11.InformationalResponse) -> Headers:
    """Its header fields, as text of one character for each byte."""
    return [
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in head.headers.raw_items()
    ]


def written_head(status: int, reason: bytes, fields: Headers) -> bytes:
    """Status line and header fields."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return b"HTTP/1.1 %d %b\r\n" % (status, reason) + lines.encode("latin-1") + b"\r\n"


def _parsed_already(parser: h11.Connection) -> Iterator[bytes | bytearray]:
    """What came of the body along with the head."""
    while isinstance(event := parser.next_event(), h11.Data):
        yield event.data


def _as_chunk(data: bytes | bytearray) -> bytes:
    return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))


def _trailers(end: h11.EndOfMessage) -> Headers:
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in end.headers]


def _first(fields: Headers, name: str) -> str:
    return next(value for one, value in fields if one.lower() == name)
