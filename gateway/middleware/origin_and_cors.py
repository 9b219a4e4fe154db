"""Which web pages may use the gateway: its own, and those of configured origins.

Any web page may open a WebSocket to localhost or post a form there, and a name that suddenly means
127.0.0.1 (DNS rebinding) makes a page of the same origin. `Origin` and `Host` tell them apart.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from typing import NamedTuple

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException

from gateway.errors import ForeignHost, ForeignOrigin
from gateway.middleware.e2b_target import e2b_target
from gateway.middleware.open_ports import RuleOf
from gateway.middleware.port_target import PortTarget, port_target, sandbox_host_of
from gateway.settings import Settings

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
_ANY_ADDRESS = frozenset(("0.0.0.0", "::"))  # noqa: S104  (compared only)
_DEFAULT_PORT = {"http": 80, "https": 443}

# RFC 3986, section 3.2, without what no client of this gateway has a reason to send: user
# information, percent-encoding, an empty port, an address of the future.
_AUTHORITY = re.compile(
    r"(?P<name>[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])"
    r"(:(?P<port>[0-9]{1,5}))?"
)
_LONGEST_NAME = 253
_ORIGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)")

_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_REQUEST_HEADERS = (
    "Authorization, X-API-Key, Content-Type, Accept, Accept-Language, Idempotency-Key, "
    "Last-Event-ID, Range, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id"
)
_EXPOSED_HEADERS = (
    "Location, Link, Retry-After, Content-Language, Content-Range, Accept-Ranges, "
    "X-Output-Offset, X-Output-Next, X-Output-Complete"
)
_PREFLIGHT_S = 600


class Site(NamedTuple):
    """A host and a port, as a header names them. `name` is "" where it names none."""

    name: str
    port: int | None


NOWHERE = Site("", None)


def install(app: Flask, settings: Settings, rule_of: RuleOf | None = None) -> None:
    """Refuse foreign `Host` and `Origin` headers before anything else happens.

    Pages of the same host and port are welcome, and those of `SANDBOX_CORS_ORIGINS`, which also
    get the headers that let browsers show them the answers (CORS). Credentials of browsers, such
    as cookies, are never asked for. `rule_of` knows which sandboxes have ports for everybody.
    """
    names = settings.names
    own = _LOOPBACK | {settings.host.lower()}
    addresses = settings.host in _ANY_ADDRESS
    allowed = settings.origins
    domains = settings.ports_domains

    def check(_endpoint: str | None, _values: object) -> None:
        host = site_of(request.headers.get("Host", ""))
        target, e2b = port_target(), e2b_target()
        if e2b is not None and e2b.by_host:
            return  # a token is asked for, which no browser brings by itself
        if e2b is None and target is not None and target.by_host:
            check_host_of_a_port(target, host)
            return
        if not _names_only(host, request.environ.get("RAW_URI", "/")):
            host = NOWHERE
        if not (host.name in own or is_named(host.name, names) or (addresses and _is_ip(host))):
            g.denied = ForeignHost.code
            raise ForeignHost()
        origin = request.headers.get("Origin")
        if e2b is not None and e2b.plane in ("envd", "signed"):
            return  # likewise
        if origin is None or (origin == "null" and target is not None and target.token):
            return  # a page that was opened by the address of a port has no other origin
        if _is_allowed(origin, allowed) and _sandbox_of(origin, domains) is None:
            if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                # Raised, not returned: no view and no other check may come between.
                raise HTTPException(response=_preflight())
        elif not _is_same(origin, host, own):
            g.denied = ForeignOrigin.code
            raise ForeignOrigin()

    def check_host_of_a_port(target: PortTarget, host: Site) -> None:
        """The server has its own rules for other sites, but whoever opens it in a browser brings
        credentials of the gateway: pages of the sandbox itself are welcome."""
        origin = request.headers.get("Origin")
        if origin is None or _is_same(origin, host, frozenset()) or _is_allowed(origin, allowed):
            return
        if rule_of is not None and rule_of(target.given).access != "key":
            return  # it was made for everybody, and nothing of the gateway's opens it
        if _sandbox_of(origin, domains) != target.given:
            g.denied = ForeignOrigin.code
            raise ForeignOrigin()

    def share(response: Response) -> Response:
        origin = request.headers.get("Origin")
        response.vary.add("Origin")
        if (
            origin is not None
            and _is_allowed(origin, allowed)
            and _sandbox_of(origin, domains) is None
        ):
            response.headers["Access-Control-Allow-Origin"] = "*" if "*" in allowed else origin
            response.headers["Access-Control-Expose-Headers"] = _EXPOSED_HEADERS
        return response

    # Before the target of the request is decided, and its caller known.
    app.url_value_preprocessor(check)
    if allowed:
        app.after_request(share)


def is_named(name: str, names: Collection[str]) -> bool:
    """Whether `names` have a host, by itself or by `*.` and one of the domains that it is in."""
    if name in names:
        return name != ""
    labels = name.split(".")
    return any(f"*.{'.'.join(labels[at:])}" in names for at in range(1, len(labels)))


def site_of(authority: str) -> Site:
    """Host, in lower case, and port of `host:port`. NOWHERE for all that is anything else: two
    readers of a doubtful name may not come to the same host."""
    found = _AUTHORITY.fullmatch(authority[: _LONGEST_NAME + 7])
    if found is None or len(found["name"]) > _LONGEST_NAME:
        return NOWHERE
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 0 < port < 65536:
        return NOWHERE
    if found["ipv6"] is None:
        return Site(found["name"].lower(), port)
    try:
        return Site(ipaddress.IPv6Address(found["ipv6"]).compressed, port)
    except ValueError:
        return NOWHERE


def _names_only(host: Site, target: str) -> bool:
    """Whether the target of a request, as it was sent, names no other site than `Host` does. It
    may be a whole address (RFC 9112, section 3.2.2), which then counts more than `Host`."""
    if target.startswith(("/", "*")):
        return True
    found = _ORIGIN.match(target)
    default = found and _DEFAULT_PORT.get(found["scheme"].lower())
    if found is None or default is None:
        return False
    theirs = site_of(found["authority"])
    return theirs.name == host.name and (theirs.port or default) == (host.port or default)


def _is_ip(host: Site) -> bool:
    """An address is never the name that an attacker's DNS server answers for."""
    try:
        ipaddress.ip_address(host.name)
        return True
    except ValueError:
        return False


def _is_allowed(origin: str, allowed: Collection[str]) -> bool:
    return "*" in allowed or origin.lower() in allowed


def _is_same(origin: str, host: Site, own: Collection[str]) -> bool:
    """Same host and port. The names of this machine are one; the scheme may differ, for a proxy
    speaks https outside and http to the gateway."""
    found = _ORIGIN.fullmatch(origin)
    default = found and _DEFAULT_PORT.get(found["scheme"].lower())
    if found is None or default is None:
        return False
    theirs = site_of(found["authority"])
    if theirs == NOWHERE or (theirs.port or default) != (host.port or default):
        return False
    return theirs.name == host.name or (theirs.name in own and host.name in own)


def _sandbox_of(origin: str, domains: Collection[str]) -> str | None:
    """The sandbox, by id or name, that serves the pages of an origin."""
    found = _ORIGIN.fullmatch(origin)
    means = found and sandbox_host_of(found["authority"], domains)
    return means[0] if means else None


def _preflight() -> Response:
    response = Response(status=204)
    response.headers.pop("Content-Type", None)
    response.headers["Access-Control-Allow-Methods"] = _METHODS
    response.headers["Access-Control-Allow-Headers"] = _REQUEST_HEADERS
    response.headers["Access-Control-Max-Age"] = str(_PREFLIGHT_S)
    return response
