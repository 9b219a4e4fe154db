"""A connection to a server in a sandbox, whichever way it takes."""

from __future__ import annotations

import select
import socket as sockets
from typing import Protocol

import gevent.socket

LOOK_S = 1.0
"""So long a read or a write blocks; then TimeoutError lets its caller look around."""

BUFFER_BYTES = 128 * 1024


class Connection(Protocol):
    """Bytes both ways. Owned by one exchange; one greenlet may read while another one writes."""

    def receive_into(self, buffer: memoryview) -> int:
        """How many bytes were read, 0 at the end. Raises TimeoutError after LOOK_S without any,
        and OSError or LinkLost when the connection breaks."""

    def send(self, data: memoryview) -> int:
        """How many bytes were taken. Raises as `receive_into` does."""

    def end(self) -> None:
        """Nothing more will be sent. May be repeated."""

    def is_quiet(self) -> bool:
        """Whether it is open and nothing has come that was not read. Does not block."""

    def close(self) -> None:
        """Free it, and wake whoever reads or writes. May be repeated."""


class SocketConnection:
    """A connection that the gateway has made itself. Owns the socket."""

    def __init__(self, socket: gevent.socket.socket) -> None:
        self._socket = socket
        self._closed = False
        socket.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        socket.settimeout(LOOK_S)

    def receive_into(self, buffer: memoryview) -> int:
        """See `Connection`."""
        return int(self._socket.recv_into(buffer))

    def send(self, data: memoryview) -> int:
        """See `Connection`."""
        return int(self._socket.send(data))

    def end(self) -> None:
        """See `Connection`."""
        try:
            self._socket.shutdown(sockets.SHUT_WR)
        except OSError:
            pass  # the server was first

    def is_quiet(self) -> bool:
        """See `Connection`."""
        try:
            # The module is gevent's: with 0 it looks, and does not wait.
            return not self._closed and not select.select([self._socket], [], [], 0)[0]
        except (OSError, ValueError):
            return False

    def close(self) -> None:
        """See `Connection`."""
        if self._closed:
            return
        self._closed = True
        try:
            self._socket.shutdown(sockets.SHUT_RDWR)
        except OSError:
            pass  # likewise
        self._socket.close()
