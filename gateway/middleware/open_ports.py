"""Ports of sandboxes that were made to be reached without a key: by everybody, or by a token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from flask import request

from gateway.errors import SandboxNotFound, TokenNotEnough, Unauthorized
from gateway.identity.access import Access
from gateway.identity.caller import Caller
from gateway.middleware import e2b_target
from gateway.middleware.port_credentials import PortCaller, identify
from gateway.middleware.port_target import PortTarget
from gateway.schemas.models import LOOKS_LIKE_AN_ID

ACCESS_TOKEN = "X-Access-Token"  # noqa: S105  (a name, and no token)
TRAFFIC_TOKEN = "E2b-Traffic-Access-Token"  # noqa: S105  (a name, and no token)

_OF_THE_ROUTER = frozenset(
    (TRAFFIC_TOKEN.lower(), "e2b-sandbox-id", "e2b-sandbox-port", ACCESS_TOKEN.lower())
)
"""Headers that are for the gateway, and kept from the server."""

NO_ACCESS_TOKEN = "unauthorized access, the access token of the sandbox is missing or wrong"  # noqa: S105


class PortRule(Protocol):
    """See `gateway.sandboxes.life.port_rules.PortRule`."""

    @property
    def access(self) -> str: ...

    @property
    def masked_host(self) -> str | None: ...


class _Usual:
    access = "key"
    masked_host = None


USUAL: PortRule = _Usual()
"""Where nobody knows of rules."""

RuleOf = Callable[[str], PortRule]
"""The rule of a sandbox, whether there is one or not. Raises StoreUnavailable."""


def caller_by_rule(
    access: Access, target: PortTarget, by_headers: str | None, rule_of: RuleOf
) -> PortCaller:
    """Who asks for a port, by key or token as everywhere or else by the sandbox's own rule. Raises
    Unauthorized, TokenNotEnough, SandboxNotFound, RateLimited and StoreUnavailable."""
    if target.domain == "":  # told by a header, which only E2B's clients send
        return _by_rule(access, target, rule_of(target.given))
    if not target.by_host or not LOOKS_LIKE_AN_ID.fullmatch(target.given):
        return identify(access, target, by_headers)
    try:
        known = identify(access, target, by_headers)
    except Unauthorized:
        rule = rule_of(target.given)
        if rule.access == "key":
            raise
    else:
        if not known.caller.is_anonymous or known.caller.sandbox_id is not None:
            return known
        rule = rule_of(target.given)
        if rule.access == "key":
            return known
    e2b_target.adopt(target)
    return _by_rule(access, target, rule)


def whoever_may(access: Access, sandbox_id: str, rule: PortRule) -> Caller:
    """The caller of the current request for a port, as the sandbox's owner: whoever has its access
    token, or may by its rule. Raises Unauthorized, TokenNotEnough, SandboxNotFound, RateLimited and
    StoreUnavailable."""
    by_token = access.identify_for_e2b(request.headers.get(ACCESS_TOKEN), sandbox_id)
    if by_token is not None:
        return by_token
    if rule.access == "open" or (rule.access == "key" and not access.needs_key):
        return access.owner_at(sandbox_id)
    if rule.access == "key":
        if not access.is_known(sandbox_id):
            raise SandboxNotFound(sandbox_id)
        raise Unauthorized(NO_ACCESS_TOKEN)
    shown = request.headers.get(TRAFFIC_TOKEN)
    caller = access.identify_for_e2b(shown, sandbox_id, "traffic")
    if caller is None:
        raise TokenNotEnough("the sandbox's traffic access token is missing or wrong")
    return caller


def _by_rule(access: Access, target: PortTarget, rule: PortRule) -> PortCaller:
    caller = whoever_may(access, target.given, rule)
    masked = rule.masked_host
    host = None if masked is None else masked.replace("${PORT}", target.port)
    return PortCaller(caller, _OF_THE_ROUTER, masked_host=host)
