"""The body of a request on its way to the server, while the server may be answering already."""

from __future__ import annotations

from collections.abc import Callable

import gevent
from gevent.event import Event

from gateway.api.ports.client import Client, ClientLeft
from gateway.api.ports.request_headers import Headers, trailers_in
from gateway.api.ports.server import Server
from gateway.api.ports.watch import Stopped
from gateway.errors import LinkLost, PortFailed

CONTINUE_S = 1.0
"""So long a server may think about the head before the client is told to send the body: older ones
say nothing about it (RFC 9110, section 10.1.1)."""

LAST_PIECE_S = 1.0
"""A server may answer as soon as it has the last byte, before the gateway knows that it has."""


class Upload:
    """Passes a body on in a greenlet of its own; `finish` ends it."""

    def __init__(self, client: Client, server: Server, on_break: Callable[[], None]) -> None:
        self._client = client
        self._server = server
        self._on_break = on_break
        self._asked = Event()
        self._is_whole = False
        self._greenlet = gevent.spawn(self._run)

    def ask(self) -> None:
        """The server wants the body."""
        self._asked.set()

    def _run(self) -> None:
        try:
            if self._client.request.is_awaited:
                self._asked.wait(CONTINUE_S)
            chunked = self._client.request.is_chunked
            while piece := self._client.piece():
                self._server.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                self._server.write(last_chunk(trailers_in(self._client.request.trailers)))
            self._is_whole = True
        except (ClientLeft, Stopped, PortFailed):
            # Half a request must not look like a whole one.
            self._on_break()
        except (OSError, LinkLost):
            pass  # the server has ended the connection; perhaps it has answered before

    def finish(self) -> bool:
        """Stop, wherever it is; whether the server got all of it. May be repeated."""
        if self._client.request.is_read:
            self._greenlet.join(LAST_PIECE_S)
        self._greenlet.kill()
        return self._is_whole


def last_chunk(trailers: Headers) -> bytes:
    """The end of a chunked body (RFC 9112, section 7.1)."""
    lines = "".join(f"{name.title()}: {value}\r\n" for name, value in trailers)
    return b"0\r\n" + lines.encode("latin-1") + b"\r\n"
