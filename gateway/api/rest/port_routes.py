"""Routes of the noun *port*: what listens in a sandbox, and addresses to hand out.

The traffic itself is a surface of its own (`gateway.api.ports`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from flask import Blueprint, Response, request

from gateway.api.asking.json_bodies import read_json
from gateway.api.rest import answers
from gateway.errors import (
    BadFields,
    BadMediaType,
    BodyTimeout,
    BodyTooLarge,
    EngineFault,
    FeatureMissing,
    SandboxBusy,
    SandboxFault,
    SandboxNotFound,
    StoreUnavailable,
    TokenNotEnough,
)
from gateway.middleware.origin_and_cors import site_of
from gateway.middleware.port_target import TOKEN_QUERY, domain_for, number_of
from gateway.schemas.models import ListeningPort, PortToken, PortTokenRequest
from gateway.schemas.models.ports import PortProcess
from gateway.schemas.route_documentation import Reply, documented
from gateway.use.sandbox_use import SandboxUses


class Process(Protocol):
    """Whoever listens."""

    @property
    def pid(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def command(self) -> str: ...


class Listening(Protocol):
    """A port that is open: see `gateway.ports.listeners.ListeningPort`."""

    @property
    def port(self) -> int: ...

    @property
    def addresses(self) -> Sequence[str]: ...

    @property
    def process(self) -> Process | None: ...


class PortService(Protocol):
    """Knows what listens in sandboxes."""

    def listening(self, container_id: str) -> Sequence[Listening]:
        """By port. Raises FeatureMissing, SandboxFault and EngineFault."""


class NewToken(Protocol):
    """A token just made."""

    @property
    def text(self) -> str: ...

    @property
    def expires_at(self) -> float:
        """Seconds since the epoch."""


IssueForPort = Callable[[str, int, float], NewToken]
"""A token for a port of a sandbox, and so many seconds. Raises SandboxNotFound."""


def blueprint(
    ports: PortService,
    uses: SandboxUses,
    issue_for_port: IssueForPort,
    *,
    ttl_s: float,
    longest_ttl_s: float,
    domains: Sequence[str],
) -> Blueprint:
    """The routes below `/sandboxes/{sandbox_id}/ports`. `domains` are those under which ports have
    hosts of their own."""
    routes = Blueprint("ports", __name__, url_prefix="/sandboxes/<sandbox_id>/ports")

    @routes.get("")
    @documented(
        summary="What listens in a sandbox",
        description="TCP ports on which a server listens inside, by port, with its process.",
        tag="Ports",
        replies={200: Reply(list[ListeningPort])},
        errors=(
            *(SandboxNotFound, SandboxBusy, FeatureMissing),
            *(SandboxFault, EngineFault, StoreUnavailable),
        ),
    )
    def show(sandbox_id: str) -> Response:
        with uses.of(sandbox_id) as use:
            found = ports.listening(use.place.container_id)
        return answers.many([_shown(one) for one in found])

    @routes.post("/<port>/token")
    @documented(
        summary="Issue an address of a port",
        description="One that works without a key for a time, for people to open. It opens this "
        "port of this sandbox only, and ends with the sandbox, or when its access tokens are "
        "revoked. The body may be empty.",
        tag="Ports",
        body=PortTokenRequest,
        replies={201: Reply(PortToken, "The only time that it is shown.")},
        errors=(
            *(BodyTimeout, BodyTooLarge, BadMediaType, BadFields),
            *(SandboxNotFound, TokenNotEnough, StoreUnavailable),
        ),
    )
    def issue(sandbox_id: str, port: str) -> Response:
        asked = read_json(PortTokenRequest)
        number = number_of(port)
        if asked.ttl is not None and asked.ttl > longest_ttl_s:
            raise BadFields(
                f"ttl must be at most {longest_ttl_s:g}",
                errors=[{"loc": ["ttl"], "msg": "is too long", "type": "less_than_equal"}],
            )
        valid_s = min(ttl_s, longest_ttl_s) if asked.ttl is None else asked.ttl
        token = issue_for_port(sandbox_id, number, valid_s)
        return answers.one(issued(sandbox_id, number, token, domains), 201)

    return routes


def _shown(found: Listening) -> ListeningPort:
    process = found.process
    return ListeningPort(
        port=found.port,
        addresses=list(found.addresses),
        process=process
        and PortProcess(pid=process.pid, name=process.name, command=process.command),
    )


def issued(sandbox_id: str, port: int, token: NewToken, domains: Sequence[str]) -> PortToken:
    """The address of a port, as whoever sent the current request reaches the gateway."""
    base = request.host_url.rstrip("/")
    scheme = request.scheme
    host = site_of(request.host)
    below = domain_for(host.name, domains)
    after = f":{host.port}" if host.port else ""
    return PortToken(
        url=f"{base}/sandboxes/{sandbox_id}/ports/{port}/{token.text}/",
        host_url=below
        and f"{scheme}://{port}-{sandbox_id}.{below}{after}/?{TOKEN_QUERY}={token.text}",
        token=token.text,
        expires_at=token.expires_at,
    )
