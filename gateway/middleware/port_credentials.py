"""Who asks a server in a sandbox for something, and what of the request is for the gateway alone.

By path all credentials are the gateway's. Under a host of its own a server has credentials of its
own too: there only what the gateway knows counts, and is kept from the server.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from flask import request

from gateway.errors import Unauthorized
from gateway.identity.access import Access
from gateway.identity.caller import ANONYMOUS, Caller
from gateway.middleware.port_target import COOKIE, PortTarget

SUBPROTOCOL = "bearer."
"""Before a token in `Sec-WebSocket-Protocol`: browsers can set no other header there."""

_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)

MOST_COOKIES = 8
"""Tokens that are looked at: others' pages below the same domain may set more."""


@dataclass(frozen=True)
class PortCaller:
    """Who asks. `own` are the names of headers, in lower case, that were for the gateway.

    `token` came in the address: a browser that opens more of the port needs it again.
    """

    caller: Caller
    own: frozenset[str] = frozenset()
    token: str | None = None
    masked_host: str | None = None
    """What the server is told that its host is; None: what the client said."""


def identify(access: Access, target: PortTarget, by_headers: str | None) -> PortCaller:
    """The caller of the current request for a port. `by_headers` is the key or token in its
    headers. Raises Unauthorized and RateLimited."""
    own = frozenset(_headers_with_own(access)) if target.by_host else frozenset()
    if target.token is not None:
        caller = access.identify_for_port(target.token, target.port)
        if caller is None:
            raise Unauthorized("the address is not valid, or not any more")
        return PortCaller(caller, own, target.token)
    if not target.by_host:
        return PortCaller(access.identify(by_headers))
    if own:
        known = next(shown for _name, shown in _shown() if access.knows(shown))
        return PortCaller(access.identify(known), own)
    for token in _cookies():
        caller = access.identify_for_port(token, target.port)
        if caller is not None:
            return PortCaller(caller)
    return PortCaller(access.identify(None) if access.needs_key else ANONYMOUS)


def _headers_with_own(access: Access) -> Iterator[str]:
    for name, shown in _shown():
        if access.knows(shown):
            yield name


def _shown() -> Iterator[tuple[str, str]]:
    """(header, key or token) of all places where the gateway takes one."""
    if "X-API-Key" in request.headers:
        yield "x-api-key", request.headers["X-API-Key"].strip()
    found = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    if found is not None:
        yield "authorization", found[1]
    for offered in request.headers.get("Sec-WebSocket-Protocol", "").split(","):
        if offered.strip().startswith(SUBPROTOCOL):
            yield "sec-websocket-protocol", offered.strip().removeprefix(SUBPROTOCOL)


def _cookies() -> list[str]:
    return request.cookies.getlist(COOKIE)[:MOST_COOKIES]
