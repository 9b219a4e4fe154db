"""What a server in a sandbox is told of a request: all but what is for the gateway or the hop."""

from __future__ import annotations

from collections.abc import Iterable

from gateway.identity.keys import PORT_TOKEN_PREFIX
from gateway.middleware.port_credentials import SUBPROTOCOL
from gateway.middleware.port_target import COOKIE, TOKEN_QUERY, PortTarget

Headers = list[tuple[str, str]]

HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer"),
        *("upgrade", "proxy-authorization", "proxy-authenticate", "http2-settings"),
    )
)
"""RFC 9110, section 7.6.1: they are about one connection, and written anew for the next one."""

_FRAMING = frozenset(("content-length", "expect", "host"))
"""Written anew, by what the gateway itself has understood."""

_CREDENTIALS = frozenset(("authorization", "x-api-key", "cookie"))
_OF_PROXIES = frozenset(("forwarded", "x-real-ip"))


def of_connection(headers: Iterable[tuple[str, str]]) -> set[str]:
    """What the Connection fields name, in lower case."""
    return {
        option.strip().lower()
        for name, value in headers
        if name.lower() == "connection"
        for option in value.split(",")
        if option.strip()
    }


def passed_in(
    headers: Headers, target: PortTarget, own: frozenset[str], client_address: str, host: str
) -> Headers:
    """The fields that the server gets, but for those of framing and Upgrade. `own` are those that
    were for the gateway, in lower case."""
    named = of_connection(headers)
    kept: Headers = []
    for name, value in headers:
        lower = name.lower()
        if lower in HOP_BY_HOP or lower in _FRAMING or lower in named or lower in _OF_PROXIES:
            continue
        if lower.startswith("x-forwarded-"):
            continue
        changed = _without_credentials(lower, value, target, own)
        if changed is not None:
            kept.append((name.title(), changed))
    return [("Host", target.masked_host or host), *kept, *_forwarded(target, client_address, host)]


def trailers_in(trailers: Headers) -> Headers:
    """Those of a chunked body. Who takes them for headers shall find nothing in them that a header
    would not say."""
    refused = HOP_BY_HOP | _FRAMING | _CREDENTIALS | _OF_PROXIES
    return [
        (name, value)
        for name, value in trailers
        if name.lower() not in refused and not name.lower().startswith("x-forwarded-")
    ]


def _forwarded(target: PortTarget, client_address: str, host: str) -> Headers:
    found = [
        ("X-Forwarded-For", client_address),
        ("X-Forwarded-Host", host),
        ("X-Forwarded-Proto", "http"),
    ]
    if not target.by_host:
        found.append(
            ("X-Forwarded-Prefix", f"/sandboxes/{target.given}/ports/{target.port}"),
        )
    return found


def _without_credentials(
    name: str, value: str, target: PortTarget, own: frozenset[str]
) -> str | None:
    """The field's value without what is the gateway's; None when nothing of it is left."""
    if name == "referer" and (PORT_TOKEN_PREFIX in value or f"{TOKEN_QUERY}=" in value):
        return None
    if name == "sec-websocket-protocol":
        return _subprotocols(value, target, own)
    if not target.by_host:
        return None if name in _CREDENTIALS else value
    if name == "cookie":
        return _cookies(value)
    return None if name in own else value


def _subprotocols(value: str, target: PortTarget, own: frozenset[str]) -> str | None:
    if target.by_host and "sec-websocket-protocol" not in own:
        return value
    offered = [one.strip() for one in value.split(",")]
    return ", ".join(one for one in offered if not one.startswith(SUBPROTOCOL)) or None


def _cookies(value: str) -> str | None:
    pairs = [pair.strip() for pair in value.split(";")]
    return "; ".join(pair for pair in pairs if pair.partition("=")[0].strip() != COOKIE) or None
