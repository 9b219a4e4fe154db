"""Who may do what: every route is closed to whoever has no key, but for those named here.

It runs before anything else of a request, and before a WebSocket is upgraded. Views ask `caller`.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, cast

from flask import Flask, Response, current_app, g, request

from gateway.errors import GatewayError, TokenNotEnough, Unauthorized
from gateway.identity.access import Access, AccessToken
from gateway.identity.caller import ANONYMOUS, Caller
from gateway.middleware import e2b_callers
from gateway.middleware.connection_limits import ClientConnections
from gateway.middleware.e2b_target import e2b_target
from gateway.middleware.open_ports import RuleOf, caller_by_rule
from gateway.middleware.port_credentials import SUBPROTOCOL, PortCaller, identify
from gateway.middleware.port_target import PortTarget, port_target
from gateway.middleware.target import FindByName, sandbox_id_of
from gateway.process.time_shares import wait_for_share, work_for
from gateway.settings import is_loopback

OPEN_ENDPOINTS = frozenset(
    ("service.healthz", "openapi.show", "docs.show", "docs.asset", "mcp_discovery.missing")
)
"""What needs no key. Everything else does, and every address that does not exist."""

KEYS_ONLY_ENDPOINTS = frozenset(("tokens.issue", "tokens.revoke", "ports.issue", "snapshots.fork"))
"""Below a sandbox, but not for its access token: who found one could renew it for ever, or make
other sandboxes."""

ANYBODY = "*"
"""Whoever asks for no particular sandbox where no keys are configured."""

CHECK_S = 1.0
"""How often a streamed answer is looked at: is its caller still welcome?"""

_EXTENSION = "sandbox-gateway.access"
_OPERATORS = "sandbox-gateway.operators"
_NAMES = "sandbox-gateway.names"
_CONNECTIONS = "sandbox-gateway.connections"
_BY_A_PROXY = ("Forwarded", "X-Forwarded-For", "X-Real-IP", "Via")
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


class BearerSubprotocols:
    """What flask-sock is told to be the server's subprotocols: any that carries a token.

    A browser ends the connection unless one that it has offered is selected (WHATWG WebSockets,
    RFC 6455, section 4.2.2); so it is also where no keys are configured.
    """

    def __contains__(self, offered: object) -> bool:
        return isinstance(offered, str) and offered.startswith(SUBPROTOCOL)


def install(
    app: Flask,
    access: Access,
    operators: Collection[str] = (),
    connections: ClientConnections | None = None,
    find_by_name: FindByName | None = None,
    rule_of: RuleOf | None = None,
) -> None:
    """Close the routes of `app`. Call it after `origin_and_cors.install`, before any routes.

    `operators` are the names of keys whose holders may see the host; `connections` learn who is
    at their other end; `find_by_name` knows whose sandbox has a name, `rule_of` who
    may reach the ports of one.
    """
    app.extensions[_EXTENSION] = access
    app.extensions[_OPERATORS] = frozenset(operators)
    app.extensions[_NAMES] = find_by_name or _no_names
    app.extensions[_CONNECTIONS] = connections

    def check(endpoint: str | None, values: dict[str, Any] | None) -> None:
        if endpoint in OPEN_ENDPOINTS:
            return
        try:
            target, e2b = port_target(), e2b_target()
            if target is not None:
                g.caller = _of_port(access, target, rule_of)
            elif e2b is not None and e2b.plane != "control":
                g.caller = e2b_callers.identify(access, e2b, endpoint, rule_of)
            else:
                g.caller = access.identify(shown())
            work_for(g.caller.name or (values or {}).get("sandbox_id") or ANYBODY)
            wait_for_share()
            sandbox_id = None
            if values and "sandbox_id" in values:
                given = values["sandbox_id"]
                sandbox_id = values["sandbox_id"] = meant(given)
                if sandbox_id != given and not g.caller.name:
                    work_for(sandbox_id)  # one account, by whichever word it is asked for
                access.check(g.caller, sandbox_id)
                if target is not None and g.caller.sandbox_id not in (None, sandbox_id):
                    raise Unauthorized("the address is not valid for this sandbox")
            if g.caller.sandbox_id is not None and (
                sandbox_id is None or endpoint in KEYS_ONLY_ENDPOINTS
            ):
                raise TokenNotEnough()
            _know(connections)
        except GatewayError as error:
            g.denied = error.code
            raise

    def watch(response: Response) -> Response:
        endless = response.is_streamed and "Content-Length" not in response.headers
        if endless and not caller().is_anonymous and port_target() is None:
            pieces = cast("Iterable[bytes]", response.response)
            response.response = _while_valid(access, caller(), pieces)
        return response

    # These run before the blueprints' own ones, and both before any `before_request`.
    app.url_value_preprocessor(check)
    app.after_request(watch)


def caller() -> Caller:
    """Who the current request comes from; nobody in particular where no keys are configured."""
    return cast(Caller, g.get("caller", ANONYMOUS))


def let_in(known: Caller) -> None:
    """Go on with the current request as one of a caller whom its route has recognised."""
    g.caller = known
    work_for(known.name or known.sandbox_id or ANYBODY)
    wait_for_share()
    _know(current_app.extensions[_CONNECTIONS])


def _know(connections: ClientConnections | None) -> None:
    if connections is not None:
        who = f"key {g.caller.name}" if g.caller.name else request.remote_addr or ""
        connections.know(request.environ.get("gunicorn.socket"), who)


def _of_port(access: Access, target: PortTarget, rule_of: RuleOf | None) -> Caller:
    if rule_of is None:
        g.port_caller = identify(access, target, shown())
    else:
        g.port_caller = caller_by_rule(access, target, shown(), rule_of)
    return cast(PortCaller, g.port_caller).caller


def port_caller() -> PortCaller:
    """Who the current request for a port comes from, and what of it was for the gateway."""
    return cast(PortCaller, g.get("port_caller", PortCaller(ANONYMOUS)))


def still_welcome() -> Callable[[], bool]:
    """Tells, of the current request's caller and in any greenlet, whether the key or token that was
    shown is still valid."""
    access, who = _access(), caller()
    if access is None or who.proof is None:
        return lambda: True
    return lambda: not access.lapsed({who})


def meant(given: str) -> str:
    """The id of the sandbox that the current request's caller means by an id or a name. Raises
    SandboxNotFound for what can be neither, and StoreUnavailable."""
    find: FindByName = current_app.extensions.get(_NAMES, _no_names)
    return sandbox_id_of(given, caller(), find)


def required(given: str) -> str:
    """The id of a sandbox that the current request names elsewhere than in its address, if it is
    the caller's. Raises SandboxNotFound and StoreUnavailable."""
    sandbox_id = meant(given)
    access = _access()
    if access is not None:
        access.check(caller(), sandbox_id)
    return sandbox_id


def entered(given: str) -> str:
    """Likewise, of the sandbox in which the current request does its work: that is charged to it,
    and noted."""
    try:
        sandbox_id = required(given)
    except GatewayError as error:
        g.denied = error.code
        raise
    if not caller().name:
        work_for(sandbox_id)
    g.entered = sandbox_id
    return sandbox_id


def new_token(sandbox_id: str) -> AccessToken | None:
    """A token for a sandbox that the caller has just made; None where no keys are configured."""
    access = _access()
    return None if access is None or not access.needs_key else access.issue(sandbox_id)


def needs_key(app: Flask) -> bool:
    """Whether keys are configured for `app`."""
    access = app.extensions.get(_EXTENSION)
    return access is not None and access.needs_key


def has_neighbours() -> bool:
    """Whether keys of more than one name are configured: then each leaves room to others."""
    access = _access()
    return access is not None and access.has_several_owners


def is_operator() -> bool:
    """Whether the current request's caller may see the host: by an operator's key or, where no keys
    are configured, from this machine itself."""
    access = _access()
    if access is not None and access.needs_key:
        operators: Collection[str] = current_app.extensions[_OPERATORS]
        return caller().sandbox_id is None and caller().name in operators
    forwarded = any(name in request.headers for name in _BY_A_PROXY)
    return not forwarded and is_loopback(request.remote_addr or "")


def pace() -> Callable[[], None]:
    """Counts, for the current request's caller and in any greenlet, what it asks for on a
    WebSocket, as requests are counted. What it gives raises RateLimited."""
    access, who = _access(), caller()
    return (lambda: None) if access is None else (lambda: access.count(who))


def shown() -> str | None:
    """The key or token in the current request: in `X-API-Key`, else in `Authorization`, else, if
    it is a handshake, in a subprotocol. Never in the address, which ends up in logs."""
    if "X-API-Key" in request.headers:
        return request.headers["X-API-Key"].strip()
    if "Authorization" in request.headers:
        found = _BEARER.fullmatch(request.headers["Authorization"])
        return None if found is None else found[1]
    offered = request.headers.get("Sec-WebSocket-Protocol", "")
    for subprotocol in offered.split(","):
        if subprotocol.strip().startswith(SUBPROTOCOL):
            return subprotocol.strip().removeprefix(SUBPROTOCOL)
    return None


def _while_valid(access: Access, who: Caller, pieces: Iterable[bytes]) -> Iterator[bytes]:
    """An endless answer ends when the key or token that it was asked with does."""
    next_check = time.monotonic() + CHECK_S
    try:
        for piece in pieces:
            wait_for_share()
            if time.monotonic() >= next_check:
                if access.lapsed({who}):
                    return
                next_check = time.monotonic() + CHECK_S
            yield piece
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _no_names(_owner: str, _name: str) -> None:
    """Where nothing was installed."""


def _access() -> Access | None:
    return cast("Access | None", current_app.extensions.get(_EXTENSION))
