"""What E2B's protocol has and this gateway has not: refused with 501, never quietly left out."""

from __future__ import annotations

from typing import NoReturn

from flask import Blueprint
from werkzeug import exceptions as http_errors

from gateway.api.e2b.control_models import Create, Egress

ALL = frozenset(("0.0.0.0/0", "::/0"))

_ROUTES = {
    "/templates": ("POST",),
    "/v2/templates": ("POST",),
    "/v3/templates": ("POST",),
    "/templates/<path:_rest>": ("POST", "PATCH", "PUT"),
    "/v2/templates/<path:_rest>": ("GET", "POST", "PATCH", "DELETE"),
    "/v3/templates/<path:_rest>": ("GET", "POST", "PATCH", "DELETE"),
    "/volumes": ("GET", "POST"),
    "/volumes/<path:_rest>": ("GET", "POST", "PUT", "PATCH", "DELETE"),
    "/secrets": ("GET", "POST"),
    "/secrets/<path:_rest>": ("GET", "POST", "PUT", "PATCH", "DELETE"),
}


def blueprint() -> Blueprint:
    """Builds of templates, volumes, secrets."""
    routes = Blueprint("e2b_missing", __name__, url_prefix="/e2b/control")

    def refuse(_rest: str = "") -> NoReturn:
        raise http_errors.NotImplemented("this gateway has no template builds, volumes, secrets")

    for rule, methods in _ROUTES.items():
        routes.add_url_rule(rule, view_func=refuse, methods=list(methods))
    return routes


def refuse_what_is_missing(asked: Create) -> None:
    """Raises werkzeug's NotImplemented for options of a create that would be left out."""
    if asked.volume_mounts:
        raise http_errors.NotImplemented("this gateway has no volumes")
    if asked.iam:
        raise http_errors.NotImplemented("this gateway has no IAM")
    if asked.network is not None:
        refuse_rules(asked.network)


def refuse_rules(wanted: Egress) -> None:
    """A sandbox has a network or has none: it may reach all that the operator allows, or nothing.
    Raises werkzeug's NotImplemented for anything between."""
    for name, value in {
        "rules": wanted.rules,
        "egressProxy": wanted.egress_proxy,
        "dnsServers": wanted.dns_servers,
        "httpsPorts": wanted.https_ports,
    }.items():
        if value:
            raise http_errors.NotImplemented(f"this gateway has no network rules: {name}")
    denied, allowed = set(wanted.deny_out or ()), set(wanted.allow_out or ())
    if denied and not denied & ALL:
        raise http_errors.NotImplemented("denyOut can only be all there is (0.0.0.0/0)")
    if allowed - ALL:
        raise http_errors.NotImplemented("allowOut can only be all there is (0.0.0.0/0)")


def is_offline(wanted: Egress) -> bool:
    """Whether nothing may be reached. What is allowed counts more than what is denied."""
    return bool(set(wanted.deny_out or ()) & ALL) and not wanted.allow_out
