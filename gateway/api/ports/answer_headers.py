"""What a client is told of a server's answer: all but what would be said in the gateway's name."""

from __future__ import annotations

import re

from gateway.api.ports.request_headers import HOP_BY_HOP, Headers, of_connection
from gateway.middleware.port_target import PortTarget

SANDBOXED = "sandbox allow-scripts allow-forms"
"""By path a page has the gateway's address, but an origin of nobody's: no cookies, no storage, no
service workers, and requests with `Origin: null`, which the gateway refuses."""

_OF_THE_ORIGIN = frozenset(
    (
        *("set-cookie", "set-cookie2", "clear-site-data", "service-worker-allowed"),
        *("strict-transport-security", "alt-svc", "public-key-pins", "expect-ct"),
        *("nel", "report-to", "reporting-endpoints", "origin-agent-cluster"),
        *("www-authenticate", "authentication-info", "referrer-policy", "accept-ch"),
    )
)
"""They hold for the whole origin, which by path is the gateway's, or ask for credentials in its
name."""

_COOKIE_DOMAIN = re.compile(r";\s*domain\s*=[^;]*", re.IGNORECASE)
_AUTHORITY = re.compile(r"https?://(?P<authority>[^/?#]*)(?P<rest>.*)", re.IGNORECASE)


def passed_out(headers: Headers, target: PortTarget, host: str) -> Headers:
    """The fields that the client gets, but for those of framing. `host` is what it has asked."""
    named = of_connection(headers)
    kept: Headers = []
    for name, value in headers:
        lower = name.lower()
        if lower in HOP_BY_HOP or lower in named or lower == "content-length":
            continue
        if target.by_host:
            if lower == "set-cookie":
                # Below the domain are other sandboxes, and other people's.
                value = _COOKIE_DOMAIN.sub("", value)
        elif lower in _OF_THE_ORIGIN:
            continue
        elif lower in ("location", "content-location"):
            value = _below_prefix(value, target, host)
        kept.append((name, value))
    if not target.by_host:
        kept.append(("Content-Security-Policy", SANDBOXED))
    if not target.by_host or target.token is not None:
        # The address is a capability. No other site is told it.
        kept = [pair for pair in kept if pair[0].lower() != "referrer-policy"]
        kept.append(("Referrer-Policy", "no-referrer"))
    return kept


def _below_prefix(location: str, target: PortTarget, host: str) -> str:
    """A server does not know below which path it is reached."""
    found = _AUTHORITY.fullmatch(location)
    if found is not None and found["authority"].lower() == host.lower():
        location = found["rest"] or "/"
    if location.startswith("/") and not location.startswith(("//", "/\\")):
        return target.prefix + location
    return location
