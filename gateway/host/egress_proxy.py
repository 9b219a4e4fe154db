"""A proxy on the sandboxes' bridge that lets them reach a list of domains, and nothing else.

It resolves names itself and connects to the address that it checked. TLS is passed through as it
is; that the server's name inside agrees with the one that was asked for is not looked at.
"""

from __future__ import annotations

import errno
import logging
import socket as sockets
from collections.abc import Callable
from contextlib import closing

import gevent
from gevent import socket
from gevent.monkey import get_original
from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.threadpool import ThreadPool

from gateway import clock
from gateway.errors import HostToolFailed
from gateway.host.proxy_relay import PIECE_BYTES, Relay
from gateway.host.proxy_requests import PORTS, ProxyRequest, Refused, check, public, read_request
from gateway.host.proxy_shares import MAX_CONNECTIONS, Share, Shares

log = logging.getLogger(__name__)

HEAD_BYTES = 16 * 1024
HEAD_LIMIT_S = 10.0
CONNECT_LIMIT_S = 15.0

_BEING_REFUSED = 64
"""Connections beyond those that are served: each is answered and closed at once."""

_LOOKUP_THREADS = 8
"""Of the proxy's own: gevent's are few, and the disks of sandboxes wait for those."""

LINES_PER_MINUTE = 60
"""Refusals that are logged: sandboxes can cause any number."""

Resolve = Callable[[str], list[str]]


def resolve(host: str) -> list[str]:
    """The addresses of a name, by this host's resolver; blocks the thread. Raises OSError."""
    # In a worker `socket` is gevent's, which would look it up in a thread of its own again.
    found = get_original("socket", "getaddrinfo")(host, None, type=sockets.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class EgressProxy:
    """Listens while it is started; `start` may be repeated until it succeeds."""

    def __init__(
        self,
        domains: tuple[str, ...],
        *,
        ports: frozenset[int] = PORTS,
        resolve: Resolve = resolve,
    ) -> None:
        """`resolve` is called in a thread."""
        self._domains = domains
        self._ports = ports
        self._resolve = resolve
        self._server: StreamServer | None = None
        self._shares = Shares()
        self._lookups: ThreadPool | None = None
        self._lines = 0
        self._lines_since = 0.0

    def start(self, address: str, port: int) -> None:
        """Listen there, unless it does already. Raises HostToolFailed."""
        if self._server is not None:
            if self._server.address == (address, port):
                return
            self.close()
        if self._lookups is None:
            self._lookups = ThreadPool(_LOOKUP_THREADS)
        server = StreamServer(
            (address, port), self._serve, spawn=Pool(MAX_CONNECTIONS + _BEING_REFUSED)
        )
        try:
            server.start()
        except OSError as error:
            why = "another program listens there" if error.errno == errno.EADDRINUSE else error
            raise HostToolFailed(f"egress proxy on {address} port {port}: {why}") from error
        self._server = server
        log.info("egress proxy on %s port %d", address, port)

    def close(self) -> None:
        """Cut all connections. May be repeated."""
        if self._server is not None:
            self._server.stop(timeout=1)
            self._server = None

    def _serve(self, client: socket.socket, peer: tuple[str, int]) -> None:
        sandbox = peer[0]
        with closing(client), self._shares.enter(sandbox) as share:
            if share is None:
                _turn_away(client)
                return
            try:
                self._answer(client, share)
            except Refused as refused:
                self._note(sandbox, refused)
                _refuse(client, refused)
            except OSError:
                pass  # either side went away

    def _note(self, sandbox: str, refused: Refused) -> None:
        now = clock.boot_s()
        if now - self._lines_since >= 60:
            self._lines, self._lines_since = 0, now
        self._lines += 1
        if self._lines <= LINES_PER_MINUTE:
            log.info("egress proxy refused %s: %s", sandbox, refused.why)

    def _answer(self, client: socket.socket, share: Share) -> None:
        head, rest = _read_head(client)
        request = read_request(head)
        check(request, self._domains, self._ports)
        server = self._connect(request, share)
        try:
            if request.tunnel:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                server.sendall(rest)
                Relay(client, server, share).run(None)
            else:
                own = rest[: request.body_bytes]
                server.sendall(request.head + own)
                Relay(client, server, share).run(request.body_bytes - len(own))
        finally:
            server.close()

    def _connect(self, request: ProxyRequest, share: Share) -> socket.socket:
        """To an address that was checked: the name is not looked up again."""
        try:
            with gevent.Timeout(CONNECT_LIMIT_S, TimeoutError("it took too long")):
                with share.lookups:
                    addresses = public(self._look_up(request.host))
                if not addresses:
                    raise Refused("403 Forbidden", f"{request.host} has no public address")
                server = socket.create_connection((addresses[0], request.port))
        except OSError as error:
            raise Refused("502 Bad Gateway", f"{request.host}: {error}") from error
        if server.getsockname()[0] == server.getpeername()[0]:
            server.close()
            raise Refused("403 Forbidden", f"{request.host} is the gateway's own host")
        return server

    def _look_up(self, host: str) -> list[str]:
        assert self._lookups is not None

        def attempt() -> list[str] | OSError:
            # Handed over, for gevent prints what is raised in a thread of its pools.
            try:
                return self._resolve(host)
            except OSError as error:
                return error

        found: list[str] | OSError = self._lookups.spawn(attempt).get()
        if isinstance(found, OSError):
            raise found
        return found


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """The head with its empty line, and what came after it."""
    received = b""
    with gevent.Timeout(HEAD_LIMIT_S, TimeoutError()):
        while b"\r\n\r\n" not in received:
            piece = client.recv(4096)
            received += piece
            if not piece or len(received) > HEAD_BYTES:
                raise Refused("431 Request Header Fields Too Large", "no end of the headers")
    head, _, rest = received.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _turn_away(client: socket.socket) -> None:
    """Without waiting for anything: these are not counted."""
    try:
        client.settimeout(0)
        client.send(
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
        )
    except OSError:
        pass


def _refuse(client: socket.socket, refused: Refused) -> None:
    body = f"{refused.why}\n".encode()
    head = (
        f"HTTP/1.1 {refused.status}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        client.settimeout(5)
        client.sendall(head.encode() + body)
        client.shutdown(sockets.SHUT_WR)
        client.settimeout(1)
        # What is left unread at the close would reset the connection, and the answer with it.
        client.recv(PIECE_BYTES)
    except OSError:
        pass  # it does not listen any more
