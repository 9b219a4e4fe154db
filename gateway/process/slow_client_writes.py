"""Writing to clients that may be slow, but not to those that take nothing.

What a client has taken is what its kernel has acknowledged. That the socket can be written to says
less: Linux tells so only when a third of the send buffer is free, which at 10 kB/s may take
minutes.
"""

from __future__ import annotations

import errno
import fcntl
import socket as sockets
import struct
import termios
import time
from collections.abc import Callable
from typing import Any

import gevent

SLOWEST_BYTES_PER_S = 1024
"""A client that takes less than this, on the average of its time limit, counts as gone."""

LOOK_S = 1.0
"""How often it is looked how much a slow client has taken."""


class ClientStalled(BrokenPipeError):
    """The client does not read. As for one that has gone, nothing can be done about it."""

    def __init__(self) -> None:
        super().__init__(errno.EPIPE, "the client does not read")


def write_all(
    socket: Any, data: bytes | memoryview, stall_s: float, sent: Callable[[int], None]
) -> None:
    """Write all of `data`, in a greenlet; `sent` is told of each part that the kernel took.

    Within any `stall_s` seconds of waiting the client must take SLOWEST_BYTES_PER_S for each of
    them. Raises ClientStalled otherwise, and the connection is as good as reset then.
    """
    view = memoryview(data)
    look_s = min(LOOK_S, stall_s / 4)
    done, mark, deadline = 0, 0, 0.0
    queued_before: int | None = None
    while True:
        count = 0
        with gevent.Timeout(look_s, False):
            count = socket.send(view)
        if count:
            sent(count)
            done += count
            view = view[count:]
        if not view:
            return
        now, queued = time.monotonic(), unacknowledged(socket)
        if queued_before is None:
            queued_before, deadline = queued - done, now + stall_s
        taken = done - (queued - queued_before)
        if taken - mark >= SLOWEST_BYTES_PER_S * stall_s:
            mark, deadline = taken, now + stall_s
        elif now >= deadline:
            drop(socket)
            raise ClientStalled


def drop(socket: Any) -> None:
    """Let the kernel forget what it holds for the client, as soon as the socket is closed."""
    try:
        socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass  # it is closed already


def unacknowledged(socket: Any) -> int:
    """Bytes that were written and that the client's kernel has not taken (SIOCOUTQ, tcp(7))."""
    answer = fcntl.ioctl(socket.fileno(), termios.TIOCOUTQ, b"\0" * 4)
    return int(struct.unpack("i", answer)[0])


class PatientSocket:
    """A client's socket whose `sendall` waits as `write_all` does; the rest is the socket's own."""

    def __init__(self, socket: Any, stall_s: float) -> None:
        self._socket = socket
        self.stall_s = stall_s
        """See `write_all`. Whoever changes it changes it back."""
        self.was_reset = False
        """Whether a write has found out that the client left without having read everything. The
        kernel tells it once."""

    def sendall(self, data: bytes) -> None:
        """Raises ClientStalled."""
        try:
            write_all(self._socket, data, self.stall_s, _ignore)
        except (ConnectionResetError, ClientStalled):
            self.was_reset = True
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)


def _ignore(_count: int) -> None:
    return
