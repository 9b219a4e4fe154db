"""What makes simple-websocket safe: whole writes, bounded reads, a clean end.

simple-websocket is handed this object in the place of the client's socket. Without it, a write
that the kernel takes only in part corrupts the stream (simple-websocket #34, #45), frames of two
greenlets mix, a reader that stopped holds a greenlet for ever, and messages that are not consumed
pile up without limit.
"""

from __future__ import annotations

import fcntl
import socket as sockets
import struct
import termios
import time
from collections.abc import Callable, Iterable
from typing import Protocol

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from gateway.api.ws.frames import frame_header
from gateway.process.giving_way import Turn
from gateway.process.slow_client_writes import ClientStalled, unacknowledged, write_all

STALL_LIMIT_S = 30.0
"""How long a client may take none of what is being sent before it counts as gone, unless it is
said otherwise (`gateway.process.slow_client_writes`)."""

CLOSING_S = 2.0
LINGER_BYTES = 8 * 1024 * 1024
"""How long, and how much, is read and dropped after the close frame: closing a socket with unread
bytes resets the connection, and the peer would lose the close frame (RFC 9293, 3.10.7.4)."""

JOIN_BELOW = 64 * 1024
"""Bytes. Header and payload go out in one write unless copying them together costs more."""

BACKLOG = 64
"""Messages that wait for the handler; more are not read from the socket until it has caught up."""


class ClientGone(OSError):
    """The client does not read, or is not there any more."""


class Traffic(Protocol):
    """Is told of bytes that went over the socket."""

    def sent(self, size: int) -> None: ...

    def received(self, size: int) -> None: ...


class SafeSocket:
    """Wraps a connected socket, which gunicorn owns and closes."""

    def __init__(
        self, socket: sockets.socket, traffic: Traffic, stall_s: float | None = None
    ) -> None:
        self._stall_s = stall_s
        self._socket = socket
        self._traffic = traffic
        self._writing = BoundedSemaphore(1)
        self._reader_done = Event()
        self._consumed = Event()
        self._backlog: Callable[[], int] = int
        self._make_room: Callable[[], None] = lambda: None
        self._broken = False
        self._sealed = False
        self._turn = Turn()
        self._unpaced = 0
        """Bytes of the last read, whose frames are dealt with until the next one."""
        self.last_heard = time.monotonic()
        self._written = self._taken = self._waiting = self._unread = 0
        """Bytes: all that the kernel took; of these the client's kernel, at the last look; what
        was left then; what the client had sent then and nobody had read."""

    # --- what simple-websocket calls -----------------------------------------------------------

    def send(self, data: bytes) -> int:
        """Write all of `data`. Raises ClientGone."""
        with self._writing:
            self._write(data)
        return len(data)

    def recv(self, size: int) -> bytes:
        """Read, but only while the handler keeps up, and others get their turns."""
        self._turn.took(self._unpaced)
        while self._backlog() > BACKLOG and not self._broken:
            self._consumed.clear()
            self._consumed.wait(1.0)
        self._make_room()
        try:
            received = self._socket.recv(size)
        except OSError:
            if not self._broken:
                raise
            received = b""  # gevent wakes who waits with an error
        self._turn.begins()
        self._unpaced = len(received)
        self.last_heard = time.monotonic()
        self._traffic.received(len(received))
        return received

    def close(self) -> None:
        """simple-websocket's reader has come to its end; the socket itself is gunicorn's."""
        self._reader_done.set()

    # --- what the connection calls -------------------------------------------------------------

    def limit_backlog(self, backlog: Callable[[], int]) -> None:
        """Stop reading while `backlog()` messages wait; `consumed` says when fewer do."""
        self._backlog = backlog

    def before_reading(self, make_room: Callable[[], None]) -> None:
        """Call `make_room`, which may wait, before each read. An OSError ends the reading."""
        self._make_room = make_room

    def consumed(self) -> None:
        """The handler has taken a message."""
        self._consumed.set()

    def notice_life(self) -> None:
        """Look for signs of life that only the kernel has seen, and note them in `last_heard`.

        A client that takes what waits for it is there: it comes to a ping behind megabytes in the
        send buffer only when it has read all of them. So is one that has sent what was not read
        yet, because this process had no processor; but only once, for that may be left unread as
        long as the client's commands run. A ping alone, acknowledged by the kernel of a client that
        hangs, is no such sign: nothing of it waits from one look to the next.
        """
        try:
            waiting, unread = unacknowledged(self._socket), _unread(self._socket)
        except (OSError, ValueError):
            return  # it has been closed
        taken = self._written - waiting
        if (unread and unread != self._unread) or (self._waiting and taken > self._taken):
            self.last_heard = time.monotonic()
        self._waiting, self._taken, self._unread = waiting, taken, unread

    def seal(self) -> None:
        """The close frame comes next: nothing may follow it (RFC 6455, section 5.5.1)."""
        self._sealed = True

    def send_frame(self, opcode: int, payload: bytes) -> None:
        """Write one frame. Past the WebSocket library, which would copy a large payload three
        times. Raises ClientGone."""
        header = frame_header(opcode, len(payload))
        with self._writing:
            if self._sealed:
                raise ClientGone("the close frame has been sent")
            if len(payload) < JOIN_BELOW:
                self._write(header + payload)
            else:
                self._write(header)
                self._write(payload)

    def send_pieces(self, opcode: int, size: int, pieces: Iterable[bytes]) -> None:
        """Write one frame of `size` bytes as its pieces come. Raises ClientGone."""
        header = frame_header(opcode, size)
        with self._writing:
            if self._sealed:
                raise ClientGone("the close frame has been sent")
            try:
                for piece in pieces:
                    self._write(header + piece)
                    header = b""
            except BaseException:
                self.abort()  # see below
                raise

    def _write(self, data: bytes) -> None:
        if self._broken:
            raise ClientGone("the connection is broken")
        parts = 0

        def sent(count: int) -> None:
            nonlocal parts
            parts += 1
            self._written += count
            self._traffic.sent(count)
            if parts > 1:
                # It could not be sent at once, so the client has read some: a sign of life.
                self.last_heard = time.monotonic()

        try:
            write_all(self._socket, data, self._stall_s or STALL_LIMIT_S, sent)
        except ClientStalled as error:
            self.abort()
            raise ClientGone("the client does not read") from error
        except BaseException:
            # Part of a frame may be out: nothing sensible can follow it.
            self.abort()
            raise

    def abort(self) -> None:
        """Give the connection up at once. Wakes whoever reads or writes. May be repeated."""
        self._broken = True
        self._consumed.set()
        try:
            self._socket.shutdown(sockets.SHUT_RDWR)
        except OSError:
            pass  # it was not connected any more

    def finish(self) -> None:
        """Let the last frames reach the client, then end the connection."""
        if not self._broken:
            try:
                self._socket.shutdown(sockets.SHUT_WR)
                with gevent.Timeout(CLOSING_S, False):
                    self._reader_done.wait()
                    left = LINGER_BYTES
                    while left > 0 and (dropped := len(self._socket.recv(65536))):
                        self._turn.took(dropped)
                        left -= dropped
            except OSError:
                pass  # the client was first
        self.abort()
        self._reader_done.wait(CLOSING_S)


def _unread(socket: sockets.socket) -> int:
    """Bytes that have come and that nobody has read (SIOCINQ, tcp(7))."""
    answer = fcntl.ioctl(socket.fileno(), termios.FIONREAD, b"\0" * 4)
    return int(struct.unpack("i", answer)[0])
