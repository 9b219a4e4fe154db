"""The agent's end of a real link, in the test's hands."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import gevent.socket

from gateway.link import protocol_2
from gateway.link.dialect import Dialect
from gateway.link.direct import DirectStream
from gateway.link.incoming import Incoming
from gateway.link.link import Link
from gateway.protocol import frames


class FarEnd:
    """Writes what an agent would, or would not."""

    def __init__(self, ours: gevent.socket.socket) -> None:
        self._socket = ours
        self._decoder = frames.Decoder()
        self._taken: list[tuple[int, int, bytes]] = []

    def take_socket(self) -> socket.socket:
        """The socket itself, for somebody who reads it instead."""
        return socket.socket(fileno=os.dup(self._socket.fileno()))

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def event(self, channel: int, **event: object) -> None:
        self.send(frames.encode_json(frames.EVENT, channel, event))

    def next_frame(self) -> tuple[int, int, bytes]:
        """The next one that the gateway sends."""
        while not self._taken:
            received = self._socket.recv(65536)
            assert received, "the link has ended"
            self._taken += self._decoder.feed(received)
        return self._taken.pop(0)

    def is_closed(self) -> bool:
        """Whether the gateway has ended the link; what it sent before is dropped."""
        try:
            while self._socket.recv(65536):
                pass
        except ConnectionError:
            pass
        return True


@contextmanager
def linked(dialect: Dialect = protocol_2) -> Iterator[tuple[Link, FarEnd]]:
    """A link, and the far end of its socket."""
    ours, theirs = gevent.socket.socketpair()
    link = Link(DirectStream(ours), Incoming(), "daemon", dialect)
    try:
        yield link, FarEnd(theirs)
    finally:
        link.close()
        theirs.close()
        gevent.sleep(0)  # its reader frees the socket
