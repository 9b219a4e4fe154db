"""The WSGI application over a runtime of its own."""

from __future__ import annotations

from typing import cast

from flask import Flask

from gateway.api import ports, rest, ws
from gateway.api.ports import routes as port_traffic
from gateway.api.rest import port_routes
from gateway.api.ws import routes
from gateway.middleware import (
    audit,
    authentication,
    language,
    origin_and_cors,
    port_target,
    surfaces,
    unread_answers,
)
from gateway.runtime import Runtime
from gateway.settings import Settings, check_reach, load_settings
from gateway.use.sandbox_use import SandboxUses

RECEIVE_BYTES = 16 * 1024
"""How much of a client's frames is read at a time."""

_EXTENSION = "sandbox-gateway"


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application, over a runtime of its own that starts with the first request.

    Raises SettingsError and StoreUnavailable.
    """
    settings = settings or load_settings()
    check_reach(settings, settings.host)
    runtime = Runtime(settings)
    app = Flask("gateway", static_folder=None)
    app.extensions[_EXTENSION] = runtime
    app.config["SOCK_SERVER_OPTIONS"] = {
        "max_message_size": settings.max_message_bytes,
        "receive_bytes": RECEIVE_BYTES,
        "subprotocols": authentication.BearerSubprotocols(),
    }
    port_target.install(app, settings.ports_domains)
    # In this order: each sees a request before those after it, and before any route.
    audit.install(app, runtime.audit_log)
    origin_and_cors.install(app, settings)
    authentication.install(
        app, runtime.access, settings.operator_names, runtime.clients, runtime.find_by_name
    )
    app.before_request(runtime.start)
    language.install(app, settings.data_dir / "locale")
    surfaces.install(app, rest.REST)
    rest.register(
        app,
        creation=runtime.creation,
        sandboxes=runtime.sandboxes,
        changes=runtime.changes,
        lifecycle=runtime.lifecycle,
        commands=runtime.commands,
        files=runtime.files,
        watcher=runtime.watcher,
        readiness=runtime.readiness,
        metrics=runtime.exposition,
        tokens=runtime.access,
        waiting=runtime.waiting,
    )
    ws.WS.register(
        app,
        routes.blueprint(
            runtime.sandboxes,
            runtime.commands,
            runtime.files,
            runtime.watcher,
            runtime.connections,
            runtime.metrics,
            runtime.held_input,
            runtime.websockets,
            settings.write_timeout,
        ),
    )
    uses = SandboxUses(runtime.sandboxes, runtime.commands, runtime.watcher)
    rest.REST.register(
        app,
        port_routes.blueprint(
            runtime.ports,
            uses,
            runtime.access.issue_for_port,
            ttl_s=settings.port_token_ttl,
            longest_ttl_s=settings.token_ttl,
            domains=settings.ports_domains,
        ),
    )
    ports.PORTS.register(
        app,
        port_traffic.blueprint(
            runtime.ports,
            uses,
            runtime.port_connections,
            runtime.exchanges,
            settings.port_idle_timeout,
        ),
    )
    unread_answers.install(app, runtime.held_output)
    return app


def runtime_of(app: Flask) -> Runtime:
    """The runtime behind an application that `create_app` made."""
    return cast(Runtime, app.extensions[_EXTENSION])
