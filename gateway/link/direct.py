"""A link without the engine in between, where the gateway runs as root on the engine's host.

An abstract UNIX socket belongs to a network namespace (unix(7), network_namespaces(7)). A thread
of its own enters the container's (setns(2)), connects to the agent there, and ends; the connected
socket works everywhere. Bulk data then no longer passes through the engine and its shim.
"""

from __future__ import annotations

import os
import socket as sockets
import struct

import gevent
import gevent.socket
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from gateway.errors import AgentUnavailable, LinkLost
from gateway.link import network_namespace
from gateway.link.bundle import NAMES

RECEIVE_BYTES = 64 * 1024

BULK_BYTES = 512 * 1024
"""Of links for files: each read costs a look at the hub."""

IS_LINK = b"L"
"""What says to the agent that this connection itself is the link."""


class DirectStream:
    """The transport of a link over a socket to the agent. Owns the socket."""

    def __init__(self, socket: gevent.socket.socket, receive_bytes: int = RECEIVE_BYTES) -> None:
        self._socket = socket
        self._receive_bytes = receive_bytes
        self._closed = False
        self._reading = False

    @property
    def socket(self) -> gevent.socket.socket:
        """For who sends and receives past this."""
        return self._socket

    def receive(self) -> bytes:
        """The next piece, b"" at the end. Blocks without limit."""
        if self._is_closed():
            return b""
        self._reading = True
        try:
            received: bytes = self._socket.recv(self._receive_bytes)
        except OSError:
            received = b""
        finally:
            self._reading = False
        if self._is_closed():  # meanwhile, by another greenlet
            self._socket.close()
        return received

    def _is_closed(self) -> bool:
        return self._closed

    def send(self, data: bytes) -> None:
        """Write all of `data`. Raises LinkLost."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise LinkLost(str(error)) from error

    def error_text(self) -> str:
        """Nothing: only an engine has more to say."""
        return ""

    def close(self) -> None:
        """End the connection. A greenlet that reads is woken, and frees it. May be repeated."""
        if self._closed:
            return
        self._closed = True
        try:
            self._socket.shutdown(sockets.SHUT_RDWR)
        except OSError:
            pass  # the agent was first
        if not self._reading:
            self._socket.close()


def connect(
    container_id: str,
    pid: int,
    uid: int,
    names: tuple[str, ...] = NAMES,
    receive_bytes: int = RECEIVE_BYTES,
) -> DirectStream:
    """Connect to the agent of a container whose first process is `pid` on this host; `names` are
    where it may listen.

    Raises AgentUnavailable: not permitted, not this host's container, no agent yet, or somebody
    else than user `uid` listens there. Whoever is interrupted in it is not held up by the thread.
    """
    pool = ThreadPool(1)
    attempt = pool.spawn(_attempt, container_id, pid, names)
    try:
        fd = attempt.get()
    except BaseException:
        gevent.spawn(_abandon, attempt, pool)
        raise
    # In a greenlet, for it waits for the thread's end.
    gevent.spawn(pool.kill)
    if isinstance(fd, OSError):
        raise AgentUnavailable(f"no direct way to the agent: {fd}") from fd
    socket = gevent.socket.socket(fileno=fd)
    credentials = socket.getsockopt(sockets.SOL_SOCKET, sockets.SO_PEERCRED, 12)
    if struct.unpack("3i", credentials)[1] != uid:
        socket.close()
        raise AgentUnavailable("somebody else than the sandbox's user listens there")
    stream = DirectStream(socket, receive_bytes)
    stream.send(IS_LINK)
    return stream


def _abandon(attempt: AsyncResult[int | OSError], pool: ThreadPool) -> None:
    """Nobody waits any more: wait for the thread's end, and free what it has opened."""
    fd = attempt.get()
    if isinstance(fd, int):
        os.close(fd)
    pool.kill()


def _attempt(container_id: str, pid: int, names: tuple[str, ...]) -> int | OSError:
    """The error is handed over, for gevent prints what is raised in a thread of its pools."""
    try:
        return _connect_in_namespace(container_id, pid, names)
    except OSError as error:
        return error


def _connect_in_namespace(container_id: str, pid: int, names: tuple[str, ...]) -> int:
    """Runs in a thread that does nothing else: the namespace is the thread's. A descriptor."""
    network_namespace.enter(container_id, pid)
    connection = gevent.monkey.get_original("socket", "socket")(sockets.AF_UNIX)
    try:
        connection.settimeout(2.0)
        _connect_to_any(connection, names)
        connection.settimeout(None)
    except BaseException:
        connection.close()
        raise
    return int(connection.detach())


def _connect_to_any(connection: sockets.socket, names: tuple[str, ...]) -> None:
    """Where the first of these agents listens. Raises OSError where none does."""
    for name in names[:-1]:
        try:
            connection.connect("\0" + name)
        except ConnectionRefusedError:
            continue  # nobody has that name (unix(7)); the socket can be used again
        return
    connection.connect("\0" + names[-1])
