"""Bytes between a sandbox and the server that it was let through to."""

from __future__ import annotations

import socket as sockets

import gevent
from gevent import socket

from gateway import clock
from gateway.host.proxy_shares import Share

IDLE_LIMIT_S = 300.0

PIECE_BYTES = 64 * 1024
"""What one direction of one connection holds at most: the next piece is read when the last one has
been written."""


class Relay:
    """Both ways until the server ends, or nothing has moved for long."""

    def __init__(self, client: socket.socket, server: socket.socket, share: Share) -> None:
        self._client = client
        self._server = server
        self._share = share
        self._moved_at = clock.boot_s()
        for end in (client, server):
            end.settimeout(IDLE_LIMIT_S)

    def run(self, upload_bytes: int | None) -> None:
        """`upload_bytes` bounds what the client may still send; None is no bound."""
        upload = gevent.spawn(self._pump, self._client, self._server, upload_bytes)
        try:
            self._pump(self._server, self._client, None)
        finally:
            upload.kill()

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        try:
            while limit is None or limit > 0:
                piece = self._receive(source, limit)
                self._share.begins()
                if not piece:
                    target.shutdown(sockets.SHUT_WR)
                    return
                target.sendall(piece)
                self._share.took(len(piece))
                self._moved_at = clock.boot_s()
                limit = None if limit is None else limit - len(piece)
        except OSError:
            pass  # the other direction ends by itself

    def _receive(self, source: socket.socket, limit: int | None) -> bytes:
        """One direction may be silent for as long as the other is not."""
        while True:
            try:
                size = PIECE_BYTES if limit is None else min(limit, PIECE_BYTES)
                piece: bytes = source.recv(size)
                return piece
            except TimeoutError:
                if clock.boot_s() - self._moved_at >= IDLE_LIMIT_S:
                    raise
