"""`port-forward`: a server in a sandbox under a port of this machine."""

from __future__ import annotations

import re
import socket
import ssl
import sys
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from ..core.address import Address
from .exit_status import say
from .invocation import Invocation, sandbox_argument, with_gateway

if TYPE_CHECKING:
    from ..sync.sandbox import Sandbox

_LONGEST_HEAD_BYTES = 64 * 1024
_PIECE_BYTES = 64 * 1024
_CONNECTIONS = 256
_IDLE_S = 3600.0

_HOP = re.compile(rb"(?im)^(host|connection|x-api-key|origin|referer):[^\r\n]*\r\n")


class Forward:
    """Where one port leads: requests are sent to the sandbox's own host at the gateway, with the
    key; all else of them stays as it is.

    The gateway speaks HTTP and what follows an `Upgrade`; so does this. Each request has a
    connection of its own, since each needs its own head.
    """

    def __init__(self, address: Address, local_port: int, host: str | None, path: str) -> None:
        parts = urlsplit(address.url)
        self._place = (parts.hostname or "", parts.port or (443 if address.is_encrypted else 80))
        self._tls = ssl.create_default_context() if address.is_encrypted else None
        self._own = (parts.netloc if host is None else host).encode()
        self._scheme = parts.scheme.encode()
        self._path = b"" if host is not None else path.encode()
        self._key = (address.key or "").encode()
        self._slots = threading.BoundedSemaphore(_CONNECTIONS)
        self.listening = socket.create_server(("127.0.0.1", local_port))

    @property
    def local_port(self) -> int:
        """On which it listens."""
        port: int = self.listening.getsockname()[1]
        return port

    def serve(self) -> None:
        """Until the process ends."""
        while True:
            client, _ = self.listening.accept()
            self._slots.acquire()
            threading.Thread(target=self._serve_one, args=(client,), daemon=True).start()

    def _serve_one(self, client: socket.socket) -> None:
        try:
            with ExitStack() as held:
                held.enter_context(client)
                client.settimeout(_IDLE_S)
                head, rest = _read_head(client)
                if not head:
                    return
                server = held.enter_context(socket.create_connection(self._place, timeout=10.0))
                if self._tls is not None:
                    server = held.enter_context(
                        self._tls.wrap_socket(server, server_hostname=self._place[0])
                    )
                server.settimeout(_IDLE_S)
                server.sendall(self.rewritten(head) + rest)
                other = threading.Thread(target=_relay, args=(client, server), daemon=True)
                other.start()
                _relay(server, client)
                other.join(1.0)
        except OSError as error:
            say(f"a connection failed: {error}")
        finally:
            self._slots.release()

    def rewritten(self, head: bytes) -> bytes:
        """The head of a request, as the gateway needs it."""
        line, _, fields = head.partition(b"\r\n")
        method, _, rest = line.partition(b" ")
        is_upgrade = re.search(rb"(?im)^upgrade:", fields) is not None
        has_origin = re.search(rb"(?im)^origin:", fields) is not None
        kept = _HOP.sub(b"", fields)
        own = [b"Host: " + self._own, b"Connection: " + (b"Upgrade" if is_upgrade else b"close")]
        if self._key:
            own.append(b"X-API-Key: " + self._key)
        if has_origin and not self._path:
            own.append(b"Origin: " + self._scheme + b"://" + self._own)
        return b"\r\n".join([method + b" " + self._path + rest, *own, kept])


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    """The head of a request with its empty line, and what has come of the body."""
    held = b""
    while b"\r\n\r\n" not in held:
        piece = client.recv(_PIECE_BYTES)
        if not piece or len(held) > _LONGEST_HEAD_BYTES:
            return b"", b""
        held += piece
    head, _, rest = held.partition(b"\r\n\r\n")
    return head + b"\r\n\r\n", rest


def _relay(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_PIECE_BYTES):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, target):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already


@click.command("port-forward")
@sandbox_argument()
@click.argument("ports", metavar="[LOCAL:]PORT…", nargs=-1, required=True)
@with_gateway
def port_forward_command(invocation: Invocation, sandbox: str, ports: tuple[str, ...]) -> None:
    """Reach HTTP and WebSocket servers in a sandbox under ports of this machine, until Ctrl-C.

    PORT is that in the sandbox, LOCAL that on this machine's loopback: the same unless it is given,
    and 0 for any that is free.
    """
    pairs = [_pair(one) for one in ports]
    found = invocation.sandbox(sandbox)
    url, key = invocation.address()
    address = Address.of(url, key)
    forwards = []
    for local, inside in pairs:
        host_url = _host_url(found, inside)
        host = urlsplit(host_url).netloc if host_url else None
        path = f"/sandboxes/{found.id}/ports/{inside}"
        forward = Forward(address, local, host, path)
        forwards.append(forward)
        shown = f"http://localhost:{forward.local_port}/"
        if invocation.is_json:
            invocation.print_json({"port": inside, "url": shown})
        else:
            click.echo(f"{shown} -> port {inside}")
    sys.stdout.flush()
    for forward in forwards:
        threading.Thread(target=forward.serve, daemon=True).start()
    threading.Event().wait()


def _host_url(sandbox: Sandbox, port: int) -> str | None:
    """Where the port has an origin of its own, if it has one."""
    from ..api_error import ApiError

    try:
        return sandbox.ports.open(port, ttl=60).host_url
    except ApiError:
        return None  # without a right to issue tokens: by path


def _pair(given: str) -> tuple[int, int]:
    local, _, inside = given.rpartition(":")
    try:
        pair = int(local or inside), int(inside)
    except ValueError:
        pair = (-1, -1)
    if not (0 <= pair[0] <= 65535 and 1 <= pair[1] <= 65535):
        raise click.UsageError(f"{given!r} is no port, and no LOCAL:PORT")
    return pair
