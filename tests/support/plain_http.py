"""HTTP byte by byte, for what no client library would send."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.gateway_process import GatewayProcess


@dataclass(frozen=True)
class Answer:
    """The first answer on a connection; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


@contextmanager
def opened(gateway: GatewayProcess) -> Iterator[socket.socket]:
    """A connection to the gateway."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
        yield client


def exchange(gateway: GatewayProcess, sent: bytes, within_s: float = 10) -> bytes:
    """All that is answered to `sent`, to the end of the connection. Raises TimeoutError."""
    received = b""
    with opened(gateway) as client:
        client.settimeout(within_s)
        try:
            client.sendall(sent)
        except ConnectionError:
            pass  # it was refused before the end; why can still be read
        while piece := client.recv(65536):
            received += piece
    return received


def answer_of(received: bytes) -> Answer:
    """The first of the answers in `received`."""
    head, _, body = received.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return Answer(int(status.split(" ")[1]), {n.lower(): v for n, _, v in pairs}, body)
