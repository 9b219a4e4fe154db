"""Who may talk to a gateway that has no keys: nobody from another site.

Any web page may open a WebSocket to localhost or post a form there, and a name that suddenly means
127.0.0.1 (DNS rebinding) makes a page of the same origin. `Origin` and `Host` tell them apart.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Flask, request

from gateway.errors import ForeignHost, ForeignOrigin

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_ANY_ADDRESS = frozenset(("0.0.0.0", "::"))  # noqa: S104  (compared only)


def install(app: Flask, listening_on: str) -> None:
    """Refuse foreign `Host` and `Origin` headers before anything else happens.

    Where the operator lets the gateway listen on all addresses, its names cannot be known; then
    the `Origin` must be of the same host as the request.
    """
    own = _LOOPBACK | {listening_on.lower()}

    def check() -> None:
        host = _hostname(f"//{request.headers.get('Host', '')}")
        if listening_on not in _ANY_ADDRESS and host not in own:
            raise ForeignHost()
        origin = request.headers.get("Origin")
        if origin is not None:
            name = _hostname(origin)
            if name != host and not (name in own and host in own):
                raise ForeignOrigin()

    app.before_request(check)


def _hostname(address: str) -> str:
    """The host in an address or `//host:port`, lower case; "" where there is none."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # raises for what is no number
        return (parts.hostname or "").lower()
    except ValueError:
        return ""
