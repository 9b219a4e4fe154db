"""Clients that ask and never read: plain sockets with small buffers."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.support.gateway_process import GatewayProcess

MIB = 1024 * 1024


def ask(
    gateway: GatewayProcess, method: str, path: str, body: object = None, **headers: str
) -> socket.socket:
    """Send one request on a connection of its own, and read nothing. The caller closes it."""
    payload = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": f"127.0.0.1:{gateway.port}", **gateway.headers, **headers}
    if payload:
        fields |= {"Content-Type": "application/json", "Content-Length": str(len(payload))}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    client = socket.socket()
    try:
        # Before the connection is made, or the window would be larger already.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(("127.0.0.1", gateway.port))
        client.sendall(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + payload)
    except BaseException:
        client.close()
        raise
    return client


@contextmanager
def asked(
    gateway: GatewayProcess,
    times: int,
    method: str,
    path: str,
    body: object = None,
    **headers: str,
) -> Iterator[list[socket.socket]]:
    """The same request on many connections, none of which is read while inside."""
    with ExitStack() as opened:
        yield [
            opened.enter_context(ask(gateway, method, path, body, **headers)) for _ in range(times)
        ]


def largest_worker(gateway: GatewayProcess) -> int:
    """Bytes that the largest worker has resident."""
    return max(worker.memory_info().rss for worker in gateway.workers())
