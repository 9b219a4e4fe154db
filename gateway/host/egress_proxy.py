"""A proxy on the sandboxes' bridge that lets them reach a list of domains, and nothing else.

It resolves names itself and connects to the address that it checked. TLS is passed through as it
is; that the server's name inside agrees with the one that was asked for is not looked at.
"""

from __future__ import annotations

import errno
import logging
import socket as sockets
from collections.abc import Callable

import gevent
from gevent import socket
from gevent.pool import Pool
from gevent.server import StreamServer

from gateway import clock
from gateway.errors import HostToolFailed
from gateway.host.proxy_requests import PORTS, ProxyRequest, Refused, check, public, read_request
from gateway.pacing import Turn

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 512
MAX_PER_SANDBOX = 64
HEAD_BYTES = 16 * 1024
HEAD_LIMIT_S = 10.0
CONNECT_LIMIT_S = 15.0
IDLE_LIMIT_S = 300.0
_PIECE_BYTES = 64 * 1024

Resolve = Callable[[str], list[str]]


def resolve(host: str) -> list[str]:
    """The addresses of a name, by this host's resolver. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=sockets.SOCK_STREAM)
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
        self._domains = domains
        self._ports = ports
        self._resolve = resolve
        self._server: StreamServer | None = None
        self._connections: dict[str, int] = {}

    def start(self, address: str, port: int) -> None:
        """Listen there, unless it does already. Raises HostToolFailed."""
        if self._server is not None:
            if self._server.address == (address, port):
                return
            self.close()
        server = StreamServer((address, port), self._serve, spawn=Pool(MAX_CONNECTIONS))
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
        if self._connections.get(sandbox, 0) >= MAX_PER_SANDBOX:
            client.close()
            return
        self._connections[sandbox] = self._connections.get(sandbox, 0) + 1
        try:
            self._answer(client)
        except Refused as refused:
            log.info("egress proxy refused %s: %s", sandbox, refused.why)
            _refuse(client, refused)
        except OSError:
            pass  # either side went away
        finally:
            client.close()
            self._connections[sandbox] -= 1
            if not self._connections[sandbox]:
                del self._connections[sandbox]

    def _answer(self, client: socket.socket) -> None:
        head, rest = _read_head(client)
        request = read_request(head)
        check(request, self._domains, self._ports)
        server = self._connect(request)
        try:
            if request.tunnel:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                server.sendall(rest)
                _Relay(client, server).run(None)
            else:
                own = rest[: request.body_bytes]
                server.sendall(request.head + own)
                _Relay(client, server).run(request.body_bytes - len(own))
        finally:
            server.close()

    def _connect(self, request: ProxyRequest) -> socket.socket:
        """To an address that was checked: the name is not looked up again."""
        try:
            with gevent.Timeout(CONNECT_LIMIT_S, TimeoutError("it took too long")):
                addresses = public(self._resolve(request.host))
                if not addresses:
                    raise Refused("403 Forbidden", f"{request.host} has no public address")
                server = socket.create_connection((addresses[0], request.port))
        except OSError as error:
            raise Refused("502 Bad Gateway", f"{request.host}: {error}") from error
        if server.getsockname()[0] == server.getpeername()[0]:
            server.close()
            raise Refused("403 Forbidden", f"{request.host} is the gateway's own host")
        return server


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """The head with its empty line, and what came after it."""
    received = b""
    turn = Turn()
    with gevent.Timeout(HEAD_LIMIT_S, TimeoutError()):
        while b"\r\n\r\n" not in received:
            piece = client.recv(4096)
            turn.took(len(piece))
            received += piece
            if not piece or len(received) > HEAD_BYTES:
                raise Refused("431 Request Header Fields Too Large", "no end of the headers")
    head, _, rest = received.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


class _Relay:
    """Both ways until the server ends, or nothing has moved for long.

    `upload_bytes` bounds what the client may still send; None is no bound.
    """

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self._client = client
        self._server = server
        self._moved_at = clock.boot_s()
        for end in (client, server):
            end.settimeout(IDLE_LIMIT_S)

    def run(self, upload_bytes: int | None) -> None:
        upload = gevent.spawn(self._pump, self._client, self._server, upload_bytes)
        try:
            self._pump(self._server, self._client, None)
        finally:
            upload.kill()

    def _pump(self, source: socket.socket, target: socket.socket, limit: int | None) -> None:
        turn = Turn()
        try:
            while limit is None or limit > 0:
                piece = self._receive(source, limit)
                turn.begins()
                if not piece:
                    target.shutdown(sockets.SHUT_WR)
                    return
                target.sendall(piece)
                turn.took(len(piece))
                self._moved_at = clock.boot_s()
                limit = None if limit is None else limit - len(piece)
        except OSError:
            pass  # the other direction ends by itself

    def _receive(self, source: socket.socket, limit: int | None) -> bytes:
        """One direction may be silent for as long as the other is not."""
        while True:
            try:
                size = _PIECE_BYTES if limit is None else min(limit, _PIECE_BYTES)
                piece: bytes = source.recv(size)
                return piece
            except TimeoutError:
                if clock.boot_s() - self._moved_at >= IDLE_LIMIT_S:
                    raise


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
        client.recv(_PIECE_BYTES)
    except OSError:
        pass  # it does not listen any more
