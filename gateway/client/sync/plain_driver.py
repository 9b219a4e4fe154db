"""Sends requests by the standard library, for `sgw`: to import httpx2 takes longer (180 ms) than
most of its commands."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ..core.address import Address
from ..core.retrying import Retrying
from ..core.steps import Answer, Broken, Pause, Read, Request, Step
from .driver import CONNECT_S, Driver, headers_of

if TYPE_CHECKING:
    import httpx2

READ_BYTES = 256 * 1024


def is_enough(address: Address) -> bool:
    """Plain HTTP on this machine: no certificates, no proxies."""
    return address.is_this_machine and not address.is_encrypted


class PlainDriver(Driver):
    """A connection for each request. httpx2 is imported for terminals only."""

    def __init__(self, address: Address, retrying: Retrying) -> None:
        super().__init__(address, retrying)
        self._http: httpx2.Client | None = None
        parts = urlsplit(address.url)
        self.place = (parts.hostname or "", parts.port)
        self.prefix = parts.path

    @property
    def http(self) -> httpx2.Client:
        if self._http is None:
            import httpx2

            from .httpx_driver import client_options

            self._http = httpx2.Client(**client_options(self.address))
        return self._http

    def close(self) -> None:
        if self._http is not None:
            self._http.close()

    def carrier(self) -> _Carrier:
        return _Carrier(self)


class _Carrier:
    """Carries out the steps of one call."""

    def __init__(self, driver: PlainDriver) -> None:
        self._driver = driver
        self._connection: http.client.HTTPConnection | None = None
        self._streamed: http.client.HTTPResponse | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def carry_out(self, step: Step) -> tuple[Any, Broken | None]:
        has_arrived = isinstance(step, Read)
        try:
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                return None, None
            if isinstance(step, Read):
                return self._read(), None
            self._connect(step)
            has_arrived = True
            return self._send(step), None
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = str(error) or type(error).__name__
            return None, Broken(reason, may_have_arrived=has_arrived)

    def _connect(self, request: Request) -> None:
        self.close()
        host, port = self._driver.place
        self._connection = http.client.HTTPConnection(host, port, timeout=CONNECT_S)
        self._connection.connect()
        self._connection.sock.settimeout(request.silence_s)

    def _send(self, request: Request) -> Answer:
        connection, body = self._connection, request.content
        assert connection is not None
        headers = self._driver.address.headers | headers_of(request)
        chunks: Iterator[bytes] | bytes | None = None
        if body is not None:
            # What is small goes with the head, in one packet.
            is_small = body.size_bytes is not None and body.size_bytes <= READ_BYTES
            chunks = b"".join(body.chunks()) if is_small else body.chunks()
        path = self._driver.prefix + request.target
        try:
            connection.request(
                request.method,
                path,
                chunks,
                headers,
                encode_chunked=body is not None and body.size_bytes is None,
            )
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have refused the body, and said why
        response = connection.getresponse()
        answered = {name.lower(): value for name, value in response.getheaders()}
        if request.is_streamed and response.status < 300:
            self._streamed = response
            return Answer(response.status, answered)
        try:
            return Answer(response.status, answered, response.read())
        finally:
            self.close()

    def _read(self) -> bytes:
        assert self._streamed is not None
        data = self._streamed.read1(READ_BYTES)
        if not data and self._streamed.length:
            raise http.client.IncompleteRead(b"", self._streamed.length)
        return data
