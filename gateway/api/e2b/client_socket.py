"""The connection of whoever made a request, while it is being answered."""

from __future__ import annotations

import select
import socket as sockets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from flask import request
from gevent.monkey import get_original

from gateway.process.slow_client_writes import unacknowledged

_WINDOW_AT = 228
_INFO_BYTES = 232
"""Where `tcpi_snd_wnd` stands in `struct tcp_info`, which only grows at its end (linux/tcp.h)."""


class ClientSocket:
    """Notices that the client hangs up, from `watch` to `unwatch`. Does not own the connection.

    One that has shut down its side only counts as gone. Where the server does not hand out the
    connection, nobody is ever seen to leave.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._watcher: Any = None
        self._tell: Callable[[], None] = lambda: None
        self.has_left = False
        self._is_reset = False

    def watch(self, tell: Callable[[], None]) -> None:
        """Call `tell`, in the hub, when the client has left. May be repeated."""
        if self._watcher is not None or self._connection is None:
            return
        self._tell = tell
        self._watcher = gevent.get_hub().loop.io(self._connection.fileno(), 1)
        self._watcher.start(self._look)

    def _look(self) -> None:
        """Something came. Bytes are another request, and hide for good whether an end follows."""
        if self.looks_left():
            self._tell()
        self._stop()

    def looks_left(self) -> bool:
        """Whether the client has left, as of now. Does not block."""
        if self._connection is not None and not self.has_left:
            try:
                self.has_left = _is_at_end(self._connection)
            except ConnectionError as error:
                self.has_left = True
                self._is_reset = isinstance(error, ConnectionResetError)
        return self.has_left

    @property
    def was_reset(self) -> bool:
        """Whether it has left with bytes that it had not read, as far as is known."""
        return self._is_reset or getattr(self._connection, "was_reset", False)

    def unacknowledged(self) -> int:
        """Bytes that were written and that the client's kernel has not taken."""
        if self._connection is None:
            return 0
        try:
            return unacknowledged(self._connection)
        except (OSError, ValueError):
            return 0

    def window(self) -> int:
        """Bytes that the client's kernel would still take, by its last word (tcp_info, Linux 5.4);
        0 where that is not known."""
        try:
            info = self._connection.getsockopt(sockets.IPPROTO_TCP, sockets.TCP_INFO, _INFO_BYTES)
            return int.from_bytes(info[_WINDOW_AT:_INFO_BYTES], sys.byteorder)
        except (AttributeError, OSError):
            return 0

    def _stop(self) -> None:
        if self._watcher is not None and self._watcher.active:
            self._watcher.stop()

    @contextmanager
    def may_stall(self, stall_s: float) -> Iterator[None]:
        """Within the block, the client may take nothing for so many seconds before it counts as
        gone."""
        before = getattr(self._connection, "stall_s", None)
        if before is None:
            yield
            return
        self._connection.stall_s = stall_s
        try:
            yield
        finally:
            self._connection.stall_s = before

    def read_no_more(self) -> None:
        """Whoever reads from the client comes to an end at once."""
        if self._connection is not None:
            try:
                self._connection.shutdown(sockets.SHUT_RD)
            except OSError:
                pass  # the client was first

    def unwatch(self) -> None:
        """May be repeated."""
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.stop()
            watcher.close()


def client_of_request() -> ClientSocket:
    """The client of the current request."""
    return ClientSocket(request.environ.get("gunicorn.socket"))


def _is_at_end(connection: Any) -> bool:
    """Raises ConnectionError, when the client has left in disorder."""
    look = get_original("select", "poll")()
    try:
        look.register(connection, select.POLLIN)
        return bool(look.poll(0)) and connection.recv(1, sockets.MSG_PEEK) == b""
    except ConnectionError:
        raise
    except (OSError, ValueError):  # ValueError: of TLS, where nothing can be peeked at
        return False
