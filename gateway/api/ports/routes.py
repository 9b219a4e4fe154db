"""The route to servers in sandboxes, whichever way they are addressed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, g, request
from flask.blueprints import BlueprintSetupState
from werkzeug.routing import Rule

from gateway.api.ports import token_cookie
from gateway.api.ports.client import Client, ClientLeft
from gateway.api.ports.exchange import Exchange
from gateway.api.ports.watch import OpenExchanges, Stopped, Watch
from gateway.errors import (
    AddressNotFound,
    BadFields,
    ContainerGone,
    EngineFault,
    FeatureMissing,
    GatewayStopping,
    PortClosed,
    PortFailed,
    SandboxBusy,
    SandboxFault,
    SandboxNotFound,
    StoreUnavailable,
    TooManyPortConnections,
)
from gateway.identity.slots import Slots
from gateway.metrics import Metrics
from gateway.middleware import authentication
from gateway.middleware.port_target import PortTarget, number_of, port_target
from gateway.ports.dialling import Ports
from gateway.schemas.route_documentation import Reply, documented
from gateway.use.sandbox_use import LINK_KEPT_S, SandboxUses

ENDPOINT = "port_traffic.pass_on"

RULE = "/sandboxes/<sandbox_id>/ports/<port>/"


class Passed(Response):
    """An answer that goes on below WSGI. Its headers are the server's, not these."""

    def __init__(self, exchange: Exchange | None, client: Client, status: int) -> None:
        super().__init__(status=status)
        self._exchange = exchange
        self._client = client

    @property
    def is_streamed(self) -> bool:
        return True

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if self._exchange is not None:
            self._exchange.extra += _of_cors(self)
            self._exchange.relay()
        return self._client.done()


def blueprint(
    ports: Ports,
    uses: SandboxUses,
    slots: Slots,
    exchanges: OpenExchanges,
    metrics: Metrics,
    idle_s: float,
) -> Blueprint:
    """The route, for all methods and for WebSockets. `slots` bound what an owner may have at a
    time; an exchange on which nothing passes for `idle_s` seconds is ended."""
    routes = Blueprint("port_traffic", __name__)

    @documented(
        summary="Ask a server in the sandbox",
        description="Any method, and all addresses below: HTTP/1.1 and, by `Upgrade`, WebSockets "
        "to a server that listens on TCP `port` of the sandbox's localhost. The same under a host "
        "of its own, `{port}-{sandbox_id}.localhost` (`SANDBOX_PORTS_DOMAIN`), where pages have an "
        "origin of their own. By path the answer gets `Content-Security-Policy: sandbox "
        "allow-scripts allow-forms`, and loses `Set-Cookie`.",
        tag="Ports",
        replies={
            200: Reply(description="Whatever the server answers.", media_type="*/*"),
            101: Reply(description="The server speaks another protocol now.", media_type=None),
        },
        errors=(
            *(SandboxNotFound, SandboxBusy, BadFields, FeatureMissing, TooManyPortConnections),
            *(PortClosed, PortFailed, SandboxFault, EngineFault, StoreUnavailable, GatewayStopping),
        ),
    )
    def pass_on(sandbox_id: str, port: str) -> Response:
        target = port_target()
        if target is None:
            raise AddressNotFound()
        number = number_of(port)
        if not target.address.startswith("/"):
            return _with_slash(target)
        if token_cookie.is_wanted(target):
            return token_cookie.redirect(target)
        client = Client(metrics)
        held = g.port_held = ExitStack()
        use = held.enter_context(uses.begin(sandbox_id))
        held.enter_context(use.linked(LINK_KEPT_S))
        held.enter_context(slots.one(use.place.owner))
        held.enter_context(metrics.port_exchange())
        watch = Watch(idle_s, client.has_left, authentication.still_welcome(), use.wake)
        asking = authentication.port_caller()
        own, target = asking.own, replace(target, masked_host=asking.masked_host)
        place = (use.place.container_id, number)
        exchange = Exchange(client, target, own, watch, ports, place)
        held.callback(exchange.close)
        try:
            with metrics.port_answer(), _ended(uses, sandbox_id):
                exchange.begin()
        except Stopped:
            raise GatewayStopping from None
        except ClientLeft:
            client.cut()
            return Passed(None, client, 499)
        if exchange.is_endless:
            exchanges.add(watch)
        exchange.extra += token_cookie.fields(target)
        return Passed(exchange, client, exchange.status)

    def give_back(_error: BaseException | None) -> None:
        held = g.pop("port_held", None)
        if held is not None:
            held.close()

    def add_rules(state: BlueprintSetupState) -> None:
        # Not by `route`, which takes a list of methods: a server may know any.
        state.app.view_functions[ENDPOINT] = pass_on
        for websocket in (False, True):
            state.app.url_map.add(Rule(RULE, endpoint=ENDPOINT, websocket=websocket))

    routes.teardown_request(give_back)
    routes.record(add_rules)
    return routes


@contextmanager
def _ended(uses: SandboxUses, sandbox_id: str) -> Iterator[None]:
    """Say of a sandbox that ends meanwhile that it is no more."""
    try:
        yield
    except (PortClosed, PortFailed, FeatureMissing):
        raise
    except (ContainerGone, SandboxFault) as error:
        if uses.end_of(sandbox_id) is not None:
            raise SandboxNotFound(sandbox_id) from error
        raise


def _with_slash(target: PortTarget) -> Response:
    """Relative links of a page need the last slash of its address."""
    response = Response(status=308)
    response.headers.pop("Content-Type", None)
    response.autocorrect_location_header = False
    response.headers["Location"] = f"{target.prefix}/{target.address}"
    return response


def _of_cors(response: Response) -> list[tuple[str, str]]:
    """What the gateway says to pages of other origins that the operator has allowed."""
    if request.headers.get("Origin") is None or port_target() is None:
        return []
    return [
        (name, value)
        for name, value in response.headers.items()
        if name.lower().startswith("access-control-")
    ]
