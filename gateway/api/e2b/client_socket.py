"""The connection of whoever made a request, while it is being answered."""

from __future__ import annotations

import select
import socket as sockets
from collections.abc import Callable
from typing import Any

import gevent
from flask import request
from gevent.monkey import get_original


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
            self.has_left = _is_at_end(self._connection)
        return self.has_left

    def _stop(self) -> None:
        if self._watcher is not None and self._watcher.active:
            self._watcher.stop()

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
    look = get_original("select", "poll")()
    try:
        look.register(connection, select.POLLIN)
        return bool(look.poll(0)) and connection.recv(1, sockets.MSG_PEEK) == b""
    except ConnectionError:
        return True
    except (OSError, ValueError):  # ValueError: of TLS, where nothing can be peeked at
        return False
