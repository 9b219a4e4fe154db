"""TCP connections that the gateway makes in the network namespace of a container."""

from __future__ import annotations

import errno
import os
import socket as sockets
from typing import Any

import gevent
import gevent.monkey
import gevent.socket
from gevent.threadpool import ThreadPool

from gateway.link import network_namespace
from gateway.ports.connection import SocketConnection

HOSTS = ((sockets.AF_INET, "127.0.0.1"), (sockets.AF_INET6, "::1"))
"""In the order in which they are tried. Never another: what listens elsewhere is not for all."""

CONNECT_S = 5.0
"""On a loopback interface only a server that does not accept takes longer than a moment."""

NOBODY = frozenset((errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.ENETUNREACH))
"""Nothing listens there, or there is no such family."""


class NamespaceUnreachable(Exception):
    """The gateway may not enter the container's namespace, or it is on another machine."""


class NamespaceSockets:
    """Makes the sockets of one worker, in one thread of its own: entering a namespace changes that
    of the whole thread. To connect needs no thread: a socket stays where it was made."""

    def __init__(self) -> None:
        self._pool: ThreadPool | None = None
        self._home = -1

    def connect(self, container_id: str, pid: int, port: int) -> SocketConnection | None:
        """A connection to whatever listens on a port of the container's loopback addresses; None
        when nothing does. `pid` is the container's first process.

        Raises NamespaceUnreachable, and OSError for a server that does not accept.
        """
        made = self._made(container_id, pid)
        try:
            for family, host in HOSTS:
                socket = made.pop(family, None)
                if socket is None:
                    continue
                try:
                    with gevent.Timeout(CONNECT_S, TimeoutError("it does not accept")):
                        socket.connect((host, port))
                except OSError as error:
                    socket.close()
                    if error.errno not in NOBODY:
                        raise
                    continue
                return SocketConnection(socket)
            return None
        finally:
            for socket in made.values():
                socket.close()

    def _made(self, container_id: str, pid: int) -> dict[int, gevent.socket.socket]:
        if self._pool is None:
            self._pool = ThreadPool(1)
            self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        # Errors are handed over, for gevent prints what is raised in a thread of its pools. Whoever
        # is killed while waiting leaves sockets that close themselves.
        found = self._pool.spawn(_made_there, container_id, pid, self._home).get()
        if isinstance(found, OSError):
            raise NamespaceUnreachable(str(found)) from found
        return {
            family: gevent.socket.socket(family, sockets.SOCK_STREAM, fileno=socket.detach())
            for family, socket in found.items()
        }

    def close(self) -> None:
        """End the thread. May be repeated."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.kill()
            os.close(self._home)


def _made_there(container_id: str, pid: int, home: int) -> dict[int, Any] | OSError:
    """Runs in the thread."""
    try:
        if os.stat(f"/proc/{pid}/ns/net").st_ino == os.fstat(home).st_ino:
            return PermissionError("that is the network of the gateway itself")
        network_namespace.enter(container_id, pid)
        made: dict[int, Any] = {}
        plain_socket = gevent.monkey.get_original("socket", "socket")
        for family, _host in HOSTS:
            try:
                made[family] = plain_socket(family, sockets.SOCK_STREAM)
            except OSError:
                continue  # a kernel without IPv6
        # So that the thread keeps no namespace of a container that is removed meanwhile. Where it
        # cannot, it is of no harm: it makes nothing but these sockets.
        network_namespace.join(home)
        return made
    except OSError as error:
        return error
