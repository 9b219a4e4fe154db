"""The route `/ws/{sandbox_id}`, and the guards that run before the upgrade."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing

import gevent
from flask import Blueprint, g, request
from flask_sock import Sock
from pydantic import ValidationError
from simple_websocket import Server

from gateway.api.ws import documentation, frames, watch
from gateway.api.ws.command_connection import Connection
from gateway.api.ws.keep_alive import Connections
from gateway.api.ws.peer import Peer
from gateway.api.ws.safe_socket import STALL_LIMIT_S, SafeSocket
from gateway.api.ws.terminal import Terminal
from gateway.commands.command_spec import request_id_of, terminal_of
from gateway.commands.run_and_steer import Commands
from gateway.errors import BadFields, BadRequest, GatewayError, UpgradeRequired
from gateway.files.service import Files
from gateway.identity.slots import Slots
from gateway.logs.line_budget import bounded_log
from gateway.metrics import Metrics
from gateway.middleware import audit, authentication
from gateway.middleware.language import texts
from gateway.process.byte_budget import ByteBudget, Holding
from gateway.schemas.models import TerminalQuery
from gateway.use.place import Place
from gateway.use.sandbox_use import CommandWatcher, Leases, SandboxUses

log = bounded_log(__name__)


def blueprint(
    sandboxes: Leases,
    commands: Commands,
    files: Files,
    watcher: CommandWatcher,
    connections: Connections,
    metrics: Metrics,
    held_input: ByteBudget,
    slots: Slots,
    write_timeout_s: float = STALL_LIMIT_S,
) -> Blueprint:
    """The WebSocket routes, over the services behind them. `held_input` bounds what clients have
    sent and what is not done yet."""
    routes = Blueprint("ws", __name__, url_prefix="/ws")
    sock = Sock()
    uses = SandboxUses(sandboxes, commands, watcher)

    @routes.before_request
    def refuse_early() -> None:
        """Refuse over HTTP what must not be upgraded: after the 101 there is no way to.

        Whoever passes uses the sandbox already, so that no cleanup can come between here and the
        handler.
        """
        sandbox_id = str((request.view_args or {}).get("sandbox_id", ""))
        if request.headers.get("Sec-WebSocket-Version") != "13":
            raise UpgradeRequired("Sec-WebSocket-Version must be 13")
        if not request.headers.get("Sec-WebSocket-Key"):
            raise BadRequest("Sec-WebSocket-Key is missing")
        if request.content_length or "Transfer-Encoding" in request.headers:
            raise BadRequest("a handshake has no body")
        if request.endpoint == "ws.show_terminal":
            g.terminal = _terminal_of(request.args)
        asked = None
        if request.endpoint == "ws.watch_files":
            asked = watch.asked_for(request.args, request.query_string)
        raw = request.environ.get("gunicorn.socket")
        if raw is None:
            raise GatewayError("this server does not hand over its sockets")
        use = uses.begin(sandbox_id)
        try:
            slots.take(use.place.owner)
        except GatewayError:
            use.end()
            raise
        g.use = use
        g.held = ExitStack()
        if asked is not None:
            path, recursive, user = asked
            with use.linked():
                place = files.place(use.place, user)
                g.watching = g.held.enter_context(files.watch(place, path, recursive=recursive))
        g.socket = request.environ["gunicorn.socket"] = SafeSocket(raw, metrics, write_timeout_s)
        # Compression would cost 300 KB and CPU time per connection: it is not offered.
        request.environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)

    @routes.teardown_request
    def give_back(_error: BaseException | None) -> None:
        use = g.pop("use", None)
        if use is not None:  # the handshake failed after the guard
            g.held.close()
            slots.give_back(use.place.owner)
            use.end()

    @sock.route("/<sandbox_id>", bp=routes)  # type: ignore[untyped-decorator]  # has no types
    @documentation.COMMANDS
    def run_commands(websocket: Server, sandbox_id: str) -> None:
        def work(peer: Peer, place: Place, held: Holding) -> bool:
            def resume() -> None:
                connections.resume(sandbox_id)

            return _serve_commands(peer, place, commands, resume, held)

        serve(websocket, sandbox_id, work)

    @sock.route("/<sandbox_id>/terminal", bp=routes)  # type: ignore[untyped-decorator]
    @documentation.TERMINAL
    def show_terminal(websocket: Server, sandbox_id: str) -> None:
        asked, request_id = g.terminal

        def work(peer: Peer, place: Place, held: Holding) -> bool:
            spec = terminal_of(request_id, asked.cols, asked.rows, asked.user)
            Terminal(peer, place, commands, spec, held).serve()
            return False  # a shell that waits for its viewers does not keep the sandbox busy

        serve(websocket, sandbox_id, work)

    @sock.route("/<sandbox_id>/watch", bp=routes)  # type: ignore[untyped-decorator]
    @documentation.WATCH
    def watch_files(websocket: Server, sandbox_id: str) -> None:
        watching, watched = g.watching, g.held

        def work(peer: Peer, place: Place, held: Holding) -> bool:
            watch.serve(peer, watching)
            return False

        with watched:
            serve(websocket, sandbox_id, work)

    def serve(
        websocket: Server, sandbox_id: str, work: Callable[[Peer, Place, Holding], bool]
    ) -> None:
        """Let `work` serve the client; it says whether a command still runs then."""
        use, socket = g.pop("use"), g.socket
        place = use.place
        received = Holding(held_input, place.owner)
        peer = Peer(
            socket,
            websocket,
            texts(),
            authentication.caller(),
            audit.audit_context(),
            authentication.pace(),
            received,
        )
        peer.note("ws_connect")
        begun = time.monotonic()
        try:
            with (
                use,
                closing(Holding(held_input, place.owner)) as held,
                use.linked(),
                connections.registered(sandbox_id, peer),
                metrics.websocket(),
            ):
                use.may_run = True
                use.may_run = work(peer, place, held)
        except Exception:
            # flask-sock would write an HTTP answer into the open WebSocket.
            log.exception("a WebSocket's handler failed")
        finally:
            peer.note("ws_close", duration_ms=round((time.monotonic() - begun) * 1000, 1))
            slots.give_back(place.owner)
            socket.finish()
            received.close()

    return routes


def _serve_commands(
    peer: Peer, place: Place, commands: Commands, resume: Callable[[], None], held: Holding
) -> bool:
    warming = gevent.spawn(_warm_up, commands, place.container_id)
    try:
        return Connection(peer, place, commands, resume, held).serve()
    finally:
        warming.kill()


def _terminal_of(arguments: Mapping[str, str]) -> tuple[TerminalQuery, str]:
    """What the query asks for, and the request_id. Raises BadFields."""
    request_id = request_id_of(arguments.get("request_id"))
    said = {name: arguments[name] for name in ("cols", "rows", "user") if name in arguments}
    try:
        asked = TerminalQuery.model_validate(said)
    except ValidationError as error:
        raise BadFields(
            "cols and rows must be whole numbers from 1 to 1000, and user `user` or `root`",
            errors=[
                {"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()
            ],
        ) from None
    if len(request_id) > frames.LONGEST_REQUEST_ID:
        raise BadRequest("request_id is too long")
    return asked, request_id


def _warm_up(commands: Commands, container_id: str) -> None:
    try:
        commands.warm_up(container_id)
    except GatewayError:
        pass  # the first command will say what is wrong
