"""Bodies that never end, requests that are wrong or cost much."""

from __future__ import annotations

import time
from typing import NoReturn

from ..caller import Caller
from .relentless import at_once, relentlessly

CHUNK = b"x" * 65536
POUR_S = 60.0

WRONG_NAMES = 80_000
"""Names of variables in one create; the body stays below the gateway's limit."""

MALFORMED = (
    b"\x00\x01\x02\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET /\x1b[31mred HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
)


def unread_bodies(caller: Caller) -> NoReturn:
    """Strangers whose bodies are refused and go on all the same: by length and chunked."""
    stranger = Caller(caller.url)
    at_once(
        [
            lambda: _pour(stranger, "Content-Length: 99999999999999"),
            lambda: _pour(stranger, "Content-Length: 99999999999999", "Origin: http://evil.test"),
            lambda: _pour(stranger, "Transfer-Encoding: chunked"),
            lambda: _pour(caller, "Content-Length: 99999999999999"),
        ]
    )


def _pour(caller: Caller, *lines: str) -> None:
    chunked = "Transfer-Encoding: chunked" in lines
    piece = b"%x\r\n%s\r\n" % (len(CHUNK), CHUNK) if chunked else CHUNK
    end = time.monotonic() + POUR_S
    with caller.dial() as connection:
        connection.sendall(caller.head("POST", "/sandboxes", *lines))
        while time.monotonic() < end:
            connection.sendall(piece)


def malformed_requests(caller: Caller) -> NoReturn:
    """What is no HTTP, as fast as it goes."""

    def step() -> None:
        for request in MALFORMED:
            with caller.dial() as connection:
                connection.sendall(request)
                connection.recv(4096)

    relentlessly(step)


def wrong_names(caller: Caller) -> NoReturn:
    """A create whose `env` is wrong in tens of thousands of places."""
    body = {"env": {f"={number}": "" for number in range(WRONG_NAMES)}}
    relentlessly(lambda: caller.ask("POST", "/sandboxes", json=body))


def readiness_loops(caller: Caller) -> NoReturn:
    """Six that ask all the time whether the gateway is ready, and what it counts."""
    at_once(
        [lambda: caller.ask("GET", "/readyz")] * 6 + [lambda: caller.ask("GET", "/metrics")] * 2
    )


def list_loops(caller: Caller) -> NoReturn:
    """Two that list all the time."""
    at_once([lambda: caller.ask("GET", "/sandboxes")] * 2)
