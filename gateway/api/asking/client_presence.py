"""Whether the client of a request is still there to have the answer."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from flask import request


def leaving() -> Callable[[], bool]:
    """Tells, of the current request's client, in any greenlet, whether it has left. Does not block.

    One that has shut down its side only counts as gone, as it does for nginx. Where the server does
    not hand out the connection (not gunicorn, or TLS) nobody is ever seen to leave.
    """
    connection = request.environ.get("gunicorn.socket")
    return lambda: connection is not None and _is_at_end(connection)


def _is_at_end(connection: socket.socket) -> bool:
    try:
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and connection.recv(1, socket.MSG_PEEK) == b""
    except ConnectionError:
        return True
    except (OSError, ValueError):  # ValueError: of TLS, where nothing can be peeked at
        return False
