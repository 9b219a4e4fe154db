"""Ending a connection whose client may still be sending."""

from __future__ import annotations

import socket as sockets
from typing import Any

import gevent

from gateway.process.giving_way import Turn

DISCARD_S = 2.0
LINGER_BYTES = 8 * 1024 * 1024
"""How long, and how much, is read and dropped after the last answer on a connection. Closing a
socket with unread bytes resets the connection, and the client would lose the answer (RFC 9112,
section 9.6)."""

_PIECE_BYTES = 64 * 1024


def linger(client: Any) -> None:
    """Say that nothing follows, and drop what still comes, within the bounds. Does not close."""
    try:
        client.shutdown(sockets.SHUT_WR)
        left, turn = LINGER_BYTES, Turn()
        with gevent.Timeout(DISCARD_S, False):
            while left > 0:
                dropped = len(client.recv(_PIECE_BYTES))
                if dropped == 0:
                    return
                turn.took(dropped)
                left -= dropped
    except OSError:
        pass  # the client was first
