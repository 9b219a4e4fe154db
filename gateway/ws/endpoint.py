"""The route `/ws/{sandbox_id}`, and the guards that run before the upgrade."""

from __future__ import annotations

import logging
import re
from contextlib import AbstractContextManager
from typing import Any, Protocol

import gevent
from flask import Blueprint, g, request
from flask_sock import Sock
from simple_websocket import Server

from gateway.apidoc import Reply, Socket, documented
from gateway.errors import (
    BadRequest,
    EngineFault,
    GatewayError,
    RequestIdInUse,
    SandboxFault,
    SandboxNotFound,
    StoreUnavailable,
    TooManyCommands,
    UpgradeRequired,
)
from gateway.messages import texts
from gateway.models import (
    SANDBOX_ID_PATTERN,
    CommandRequest,
    CommandResult,
    SandboxEnded,
    SocketError,
)
from gateway.ws.connection import CommandRunner, Connection
from gateway.ws.connections import Connections
from gateway.ws.safe_socket import SafeSocket

log = logging.getLogger(__name__)

_SANDBOX_ID = re.compile(SANDBOX_ID_PATTERN)
_LONGEST_ECHO = 64


class Leases(Protocol):
    """Who gives and takes the right to use a sandbox."""

    def lease(self, sandbox_id: str) -> Any: ...

    def release(self, lease: Any) -> None: ...


class CommandService(CommandRunner, Protocol):
    """Runs commands, faster in a container that is being used."""

    def using(self, container_id: str) -> AbstractContextManager[None]: ...

    def warm_up(self, container_id: str) -> None: ...


class Occupancy(Protocol):
    """Keeps a lease until nothing runs in its sandbox."""

    def keep(self, lease: Any) -> None: ...


def blueprint(
    sandboxes: Leases, commands: CommandService, occupancy: Occupancy, connections: Connections
) -> Blueprint:
    """The WebSocket routes, over the services behind them."""
    routes = Blueprint("ws", __name__, url_prefix="/ws")
    sock = Sock()

    @routes.before_request
    def guard() -> None:
        """Refuse over HTTP what must not be upgraded: after the 101 there is no way to.

        Whoever passes holds a lease, so that no cleanup can come between here and the handler.
        """
        sandbox_id = str((request.view_args or {}).get("sandbox_id", ""))
        if not _SANDBOX_ID.fullmatch(sandbox_id):
            raise SandboxNotFound(sandbox_id[:_LONGEST_ECHO])
        if request.headers.get("Sec-WebSocket-Version") != "13":
            raise UpgradeRequired("Sec-WebSocket-Version must be 13")
        if not request.headers.get("Sec-WebSocket-Key"):
            raise BadRequest("Sec-WebSocket-Key is missing")
        raw = request.environ.get("gunicorn.socket")
        if raw is None:
            raise GatewayError("this server does not hand over its sockets")
        g.lease = sandboxes.lease(sandbox_id)
        g.socket = request.environ["gunicorn.socket"] = SafeSocket(raw)
        # Compression would cost 300 KB and CPU time per connection: it is not offered.
        request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)

    @routes.teardown_request
    def give_back(_error: BaseException | None) -> None:
        lease = g.pop("lease", None)
        if lease is not None:  # the handshake failed after the guard
            sandboxes.release(lease)

    @sock.route("/<sandbox_id>", bp=routes)  # type: ignore[untyped-decorator]  # has no types
    @documented(
        summary="Run commands in a sandbox",
        description="A WebSocket. Each text frame from the client is a command; each command gets "
        "one text frame back, in the order in which commands finish. Closing the connection "
        "neither ends the sandbox nor what runs in it.",
        tag="Commands",
        replies={101: Reply(description="The WebSocket is open.", media_type=None)},
        errors=(SandboxNotFound, UpgradeRequired, EngineFault, StoreUnavailable),
        socket=Socket(
            from_client=(CommandRequest,),
            to_client=(CommandResult, SocketError, SandboxEnded),
            errors=(
                BadRequest,
                RequestIdInUse,
                TooManyCommands,
                EngineFault,
                SandboxFault,
            ),
        ),
    )
    def run_commands(websocket: Server, sandbox_id: str) -> None:
        lease, socket = g.pop("lease"), g.socket
        connection = Connection(socket, websocket, lease.container_id, commands, texts())
        try:
            with (
                commands.using(lease.container_id),
                connections.registered(sandbox_id, connection),
            ):
                warming = gevent.spawn(_warm_up, commands, lease.container_id)
                had_running = connection.serve()
                warming.kill()
            _give_back(sandboxes, occupancy, lease, had_running)
        except Exception:
            # flask-sock would write an HTTP answer into the open WebSocket.
            log.exception("a WebSocket's handler failed")
        finally:
            socket.finish()

    return routes


def _give_back(sandboxes: Leases, occupancy: Occupancy, lease: Any, had_running: bool) -> None:
    """The client is gone; its lease stays as long as something runs in the sandbox."""
    if not had_running:
        try:
            sandboxes.release(lease)
            return
        except StoreUnavailable as error:
            log.warning("cannot give a lease back yet: %s", error)
    occupancy.keep(lease)


def _warm_up(commands: CommandService, container_id: str) -> None:
    try:
        commands.warm_up(container_id)
    except GatewayError:
        pass  # the first command will say what is wrong
