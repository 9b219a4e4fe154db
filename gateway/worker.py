"""gunicorn's gevent worker, whose own errors are problem documents too."""

from __future__ import annotations

import re
import socket as sockets
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from gunicorn.workers.ggevent import GeventWorker

from gateway.answer_headers import HEADERS
from gateway.models import Problem

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ([^\r]*)\r\n")

WRITE_LIMIT_S = 5.0


class GatewayWorker(GeventWorker):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn refuses itself never reaches the application, and would be answered in HTML:
    an address of 10 kB, a broken header, a body whose framing is wrong."""

    def patch(self) -> None:
        """Let gunicorn monkey-patch, in a tenth of the time."""
        with _plugins_looked_for_once():
            super().patch()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Let gunicorn decide and log, but write its answer as RFC 9457 says."""
        draft = _Draft()
        super().handle_error(req, draft, addr, exc)
        found = _STATUS_LINE.match(draft.written)
        if found is None:
            return
        answer = refusal(int(found[1]), found[2].decode("latin-1"))
        try:
            client.settimeout(WRITE_LIMIT_S)
            client.sendall(answer)
            client.shutdown(sockets.SHUT_WR)
        except OSError:
            pass  # the client was gone


@contextmanager
def _plugins_looked_for_once() -> Iterator[None]:
    """gevent asks all that is installed for plugins, again for each of the 25 steps of its patch:
    with 89 packages it took 0.2 s of a worker's start. Here the worker has no second thread."""
    look, found = metadata.entry_points, metadata.entry_points()
    metadata.entry_points = found.select
    try:
        yield
    finally:
        metadata.entry_points = look


class _Draft:
    """Takes gunicorn's answer in the place of the client's socket."""

    def __init__(self) -> None:
        self.written = b""

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, _blocking: int) -> None:
        return

    def sendall(self, data: bytes) -> None:
        self.written += data

    def send(self, data: bytes) -> int:
        self.written += data
        return len(data)


def refusal(status: int, reason: str) -> bytes:
    """A whole HTTP answer with a problem document; the connection ends with it."""
    title = reason or "Error"
    code = re.sub(r"[^a-z0-9]+", "_", title.lower()).strip("_")
    if status >= 500:
        code, title = "internal_error", "Internal error"
    problem = Problem(
        type=f"urn:sandbox-gateway:problem:{code}",
        title=title,
        status=status,
        detail=title,
        code=code,
        message=title,
    )
    body = problem.model_dump_json(exclude_none=True).encode()
    headers = {
        "Connection": "close",
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        **HEADERS,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} {reason}\r\n{head}\r\n".encode("latin-1") + body
