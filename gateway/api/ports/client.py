"""The client's side of a request for a port: below WSGI, which knows no trailers and no Upgrade."""

from __future__ import annotations

import select
import socket as sockets
from typing import Any, Protocol, cast

from flask import request
from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.workers.base_async import ALREADY_HANDLED

from gateway.api.ports.request_headers import Headers, of_connection
from gateway.errors import GatewayError
from gateway.metrics import Metrics


class ClientLeft(Exception):
    """Nobody is there to be answered."""


class ReceivedRequest(Protocol):
    """A request as the server has parsed it: `gateway.server.request_reading.BoundedRequest`."""

    method: str
    version: tuple[int, int]
    headers: Headers
    trailers: Headers
    unreader: Any

    @property
    def is_read(self) -> bool: ...

    @property
    def is_chunked(self) -> bool: ...

    @property
    def is_awaited(self) -> bool: ...

    def piece(self) -> bytes: ...

    def should_close(self) -> bool: ...


class Client:
    """Whoever has made the current request. Does not own the connection."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._socket: Any = request.environ.get("gunicorn.socket")
        found = getattr(request.environ.get("wsgi.input"), "request", None)
        if self._socket is None or found is None:
            raise GatewayError("this server does not hand over its connections")
        self.request = cast(ReceivedRequest, found)
        self.address = request.remote_addr or ""
        self._must_close = False

    # --- what was asked ---------------------------------------------------------------------------

    @property
    def takes_chunks(self) -> bool:
        return self.request.version >= (1, 1)

    @property
    def host(self) -> str:
        return self.field("host") or ""

    def field(self, name: str) -> str | None:
        """The first header field of that name, which is in lower case."""
        return next((value for one, value in self.request.headers if one.lower() == name), None)

    @property
    def body_size(self) -> int | None:
        """As the client has said it; None where there is no body, or its size is not known."""
        given = self.field("content-length")
        return None if given is None or self.request.is_chunked else int(given)

    @property
    def has_body(self) -> bool:
        return self.request.is_chunked or bool(self.body_size)

    @property
    def upgrade(self) -> str | None:
        """The protocol that the client would like to go on in. A request with a body does not."""
        if self.has_body or "upgrade" not in of_connection(self.request.headers):
            return None
        return self.field("upgrade")

    def piece(self) -> bytes:
        """What comes next of the body, b"" at its end. Raises ClientLeft."""
        try:
            piece = self.request.piece()
        except (OSError, NoMoreData, ParseException, StopIteration) as error:
            self._must_close = True
            raise ClientLeft(str(error)) from error
        self._metrics.port_received(len(piece))
        return piece

    def unread(self) -> bytes:
        """What has come after the request."""
        found = cast(bytes, self.request.unreader.take_buffered())
        self._metrics.port_received(len(found))
        return found

    # --- the answer -------------------------------------------------------------------------------

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Write all of it. Raises ClientLeft; then the connection is of no use."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            self._must_close = True
            raise ClientLeft(str(error)) from error
        self._metrics.port_sent(len(data))

    def receive_into(self, buffer: memoryview) -> int:
        """Read what follows an Upgrade; 0 at the end. Blocks without limit."""
        try:
            count = int(self._socket.recv_into(buffer))
        except OSError:
            return 0
        self._metrics.port_received(count)
        return count

    def end(self) -> None:
        """Nothing more will be written."""
        try:
            self._socket.shutdown(sockets.SHUT_WR)
        except OSError:
            pass  # the client was first

    def cut(self) -> None:
        """End the connection: the answer stays incomplete, and the client shall see that."""
        self._must_close = True
        try:
            self._socket.shutdown(sockets.SHUT_RDWR)
        except OSError:
            pass  # likewise

    def has_left(self) -> bool:
        """Whether the client has ended its side; see `gateway.api.asking.client_presence`."""
        try:
            readable, _, _ = select.select([self._socket], [], [], 0)
            return bool(readable) and self._socket.recv(1, sockets.MSG_PEEK) == b""
        except ConnectionError:
            return True
        except (OSError, ValueError):
            return False

    def will_close(self) -> bool:
        """Whether the connection ends with this answer: also where the body was not read yet."""
        return self._must_close or self.request.should_close()

    def close_after(self) -> None:
        """Let the connection end with this answer."""
        self._must_close = True

    def done(self) -> object:
        """What the server is told at the end of a request that was answered here."""
        if self.will_close():
            raise StopIteration  # as flask-sock does: the server then ends the connection
        return ALREADY_HANDLED
