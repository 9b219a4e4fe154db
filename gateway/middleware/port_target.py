"""Which server in which sandbox a request is for, by its path or by the name of the host.

Decided once, before all else that happens to a request: what follows is routed to
`/sandboxes/{id}/ports/{port}/`, however it was addressed, and what comes after that in the address
is the server's own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, cast

from flask import Flask, request

from gateway.errors import BadFields
from gateway.identity.keys import PORT_TOKEN_PREFIX
from gateway.settings import is_loopback

TOKEN_QUERY = "port_token"  # noqa: S105  (a name, and no token)
"""Name of a token in a query (in a path it is a segment, known by its prefix)."""

COOKIE = "sandbox_port_token"
"""Carries the token on, under the host of its port alone."""

LARGEST_PORT = 65535

OF_THIS_MACHINE = "localhost"
"""Names below it lead to the machine that asks (RFC 6761, section 6.3)."""

_ENVIRON = "gateway.port_target"
_BY_PATH = re.compile(
    r"(?P<prefix>/sandboxes/(?P<id>[^/?#%]+)/ports/(?P<port>[^/?#%]+))(?P<rest>([/?].*)?)"
)
_NUMBER = re.compile(r"[0-9]{1,5}")
_BY_HOST = re.compile(r"(?P<port>[0-9]{1,5})-(?P<id>[a-z0-9][a-z0-9-]*)\.(?P<domain>.+)")

Wsgi = Callable[[dict[str, Any], Any], Any]


@dataclass(frozen=True)
class PortTarget:
    """`given` is an id or a name, and `port` whatever stands there."""

    given: str
    port: str
    address: str
    """Path and query as the server gets them: as they were sent, without the gateway's token. The
    path is empty where not even its first slash was sent."""
    domain: str | None
    """The one of the gateway's that the request named; None when it was addressed by path."""
    prefix: str = ""
    """What stands before `address` for the client, its token included."""
    token: str | None = field(default=None, repr=False)
    """What the address carries."""
    masked_host: str | None = None
    """What the server is told that its host is; None: what the client said."""

    @property
    def by_host(self) -> bool:
        return self.domain is not None


def install(app: Flask, domains: Collection[str]) -> None:
    """Route what is for ports of sandboxes; `domains` are those whose subdomains mean such."""
    inner: Wsgi = app.wsgi_app

    def wsgi_app(environ: dict[str, Any], start_response: Any) -> Any:
        if _ENVIRON not in environ:
            decide(environ, target_of(environ, domains))
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]  # Flask's own way to wrap it


def decide(environ: dict[str, Any], target: PortTarget | None) -> None:
    """Say what a request is for; nothing else looks for it then."""
    environ[_ENVIRON] = target
    if target is not None:
        environ["PATH_INFO"] = f"/sandboxes/{target.given}/ports/{target.port}/"


def port_target() -> PortTarget | None:
    """That of the current request, if it has one."""
    return cast("PortTarget | None", request.environ.get(_ENVIRON))


def number_of(port: str) -> int:
    """The number of a port in an address. Raises BadFields."""
    if _NUMBER.fullmatch(port) and 0 < int(port) <= LARGEST_PORT:
        return int(port)
    raise BadFields(
        "port must be a number from 1 to 65535",
        errors=[{"loc": ["port"], "msg": "must be from 1 to 65535", "type": "port"}],
    )


def target_of(environ: dict[str, Any], domains: Collection[str]) -> PortTarget | None:
    """What a request is for; None when that is no port of a sandbox."""
    raw = str(environ.get("RAW_URI", "")).partition("#")[0]
    if not raw.startswith("/"):
        return None  # a whole address, which only proxies are sent
    found = sandbox_host_of(str(environ.get("HTTP_HOST", "")), domains)
    if found is not None:
        given, port, domain = found
        return _without_token(PortTarget(given, port, raw, domain))
    by_path = _BY_PATH.fullmatch(raw)
    if by_path is None or _is_ours(by_path["rest"], environ):
        return None
    target = PortTarget(by_path["id"], by_path["port"], by_path["rest"], None, by_path["prefix"])
    return _without_token(_without_segment(target))


def sandbox_host_of(authority: str, domains: Collection[str]) -> tuple[str, str, str] | None:
    """(id or name, port, domain) that a host means, as `8000-abc.localhost:8003`; None when it
    means no sandbox."""
    name = re.sub(r":[0-9]{0,5}\Z", "", authority).lower()
    found = _BY_HOST.fullmatch(name.removesuffix("."))
    if found is None or found["domain"] not in domains:
        return None
    return found["id"], found["port"], found["domain"]


def domain_for(host: str, domains: Collection[str]) -> str | None:
    """One whose names lead to the gateway for whoever reaches it by `host`."""
    if is_loopback(host) and OF_THIS_MACHINE in domains:
        return OF_THIS_MACHINE
    return next((domain for domain in domains if domain != OF_THIS_MACHINE), None)


def _is_ours(rest: str, environ: dict[str, Any]) -> bool:
    """Whether it is the route that issues tokens."""
    return rest.partition("?")[0] == "/token" and environ.get("REQUEST_METHOD") == "POST"


def _without_segment(target: PortTarget) -> PortTarget:
    """A token is the first segment of the path, so that relative links keep it."""
    path, mark, query = target.address.partition("?")
    first, slash, rest = path[1:].partition("/")
    if not first.startswith(PORT_TOKEN_PREFIX):
        return target
    return replace(
        target,
        address=f"/{rest}{mark}{query}" if slash else f"{mark}{query}",
        prefix=f"{target.prefix}/{first}",
        token=first,
    )


def _without_token(target: PortTarget) -> PortTarget:
    """The query is given on as it was, but for the token's own part of it."""
    path, _, query = target.address.partition("?")
    parts = query.split("&")
    own = [part for part in parts if part.partition("=")[0] == TOKEN_QUERY]
    if not own:
        return target
    left = "&".join(part for part in parts if part not in own)
    token = target.token or own[-1].partition("=")[2]
    return replace(target, address=f"{path}?{left}" if left else path, token=token)
