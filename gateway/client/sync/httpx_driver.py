"""Sends requests by httpx2."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from typing import Any

import httpx2

from ..core.address import Address
from ..core.retrying import Retrying
from ..core.steps import Answer, Broken, Pause, Read, Request, Step
from .driver import CONNECT_S, Driver, headers_of

KEPT_S = 30.0
"""A connection that nobody uses is kept for so long: less than the gateway keeps it, which would
close it under a request."""


def client_options(address: Address) -> dict[str, Any]:
    """Of a client of httpx2, of either kind. Certificates take 30 ms to be read, and are needed for
    https only."""
    plain = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return {
        "headers": address.headers,
        "verify": True if address.is_encrypted else plain,
        "trust_env": not address.is_this_machine,
        "timeout": CONNECT_S,
        "limits": httpx2.Limits(max_connections=None, keepalive_expiry=KEPT_S),
    }


def is_before_arrival(error: Exception) -> bool:
    """Whether the gateway cannot have got the request."""
    return isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)


class HttpxDriver(Driver):
    """Keeps connections, knows https and proxies."""

    def __init__(self, address: Address, retrying: Retrying) -> None:
        super().__init__(address, retrying)
        self._http = httpx2.Client(**client_options(address))

    @property
    def http(self) -> httpx2.Client:
        return self._http

    def close(self) -> None:
        self._http.close()

    def carrier(self) -> _Carrier:
        return _Carrier(self)


class _Carrier:
    """Carries out the steps of one call: at most one streamed answer is open."""

    def __init__(self, driver: HttpxDriver) -> None:
        self._driver = driver
        self._streamed: httpx2.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def close(self) -> None:
        if self._streamed is not None:
            self._streamed.close()
            self._streamed = None

    def carry_out(self, step: Step) -> tuple[Any, Broken | None]:
        """What came of it, or how it broke."""
        try:
            if isinstance(step, Pause):
                time.sleep(step.seconds)
                return None, None
            if isinstance(step, Read):
                return next(self._pieces, b""), None
            return self._send(step), None
        except (httpx2.TransportError, httpx2.StreamError) as error:
            self.close()
            reason = str(error) or type(error).__name__
            return None, Broken(reason, may_have_arrived=not is_before_arrival(error))

    def _send(self, request: Request) -> Answer:
        self.close()
        http, body = self._driver.http, request.content
        response = http.send(
            http.build_request(
                request.method,
                self._driver.address.url + request.target,
                headers=headers_of(request),
                content=None if body is None else body.chunks(),
                timeout=timeout_of(request),
            ),
            stream=True,
        )
        headers = {name.lower(): value for name, value in response.headers.items()}
        if request.is_streamed and response.status_code < 300:
            self._streamed, self._pieces = response, response.iter_raw()
            return Answer(response.status_code, headers)
        try:
            return Answer(response.status_code, headers, response.read())
        finally:
            response.close()


def timeout_of(request: Request) -> httpx2.Timeout:
    """Of each read and write, not of the whole."""
    return httpx2.Timeout(
        connect=CONNECT_S, read=request.silence_s, write=request.silence_s, pool=None
    )
