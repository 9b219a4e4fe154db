"""The WSGI application over a runtime of its own."""

from __future__ import annotations

from typing import cast

from flask import Flask

from gateway.api import e2b, mcp, ports, rest, ws
from gateway.api.asking import client_presence
from gateway.api.e2b import envd_files, filesystem_routes, interpreter_routes, process_routes
from gateway.api.e2b.awake import Awake
from gateway.api.e2b.connect_rpc import ConnectRpc
from gateway.api.e2b.control_templates import Templates
from gateway.api.e2b.signed_addresses import SignedAddresses
from gateway.api.e2b.template_words import TemplateWords
from gateway.api.ports import routes as port_traffic
from gateway.api.rest import port_routes
from gateway.api.ws import routes
from gateway.middleware import (
    audit,
    authentication,
    e2b_target,
    language,
    origin_and_cors,
    port_target,
    surfaces,
    unread_answers,
)
from gateway.runtime import Runtime
from gateway.schemas.models import PortToken
from gateway.settings import MIB, Settings, check_reach, load_settings
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
    base, inside, services = runtime.base, runtime.inside, runtime.services
    app = Flask("gateway", static_folder=None)
    app.extensions[_EXTENSION] = runtime
    app.config["SOCK_SERVER_OPTIONS"] = {
        "max_message_size": settings.max_message_bytes,
        "receive_bytes": RECEIVE_BYTES,
        "subprotocols": authentication.BearerSubprotocols(),
    }
    port_target.install(app, settings.ports_domains)
    e2b_target.install(app, settings.ports_domains)
    # In this order: each sees a request before those after it, and before any route.
    audit.install(app, base.audit_log)
    origin_and_cors.install(app, settings, services.port_rules.of)
    authentication.install(
        app,
        base.access,
        settings.operator_names,
        base.clients,
        base.find_by_name,
        services.port_rules.of,
    )
    app.before_request(runtime.start)
    language.install(app, settings.data_dir / "locale")
    surfaces.install(app, rest.REST)
    uses = SandboxUses(services.sandboxes, runtime.commands, services.watcher)
    requests = services.request_leases
    short_uses = SandboxUses(requests, runtime.commands, requests)
    rest.register(
        app,
        creation=services.creation,
        sandboxes=services.sandboxes,
        changes=services.changes,
        lifecycle=services.lifecycle,
        snapshots=runtime.snapshots,
        templates=runtime.templates,
        commands=runtime.commands,
        files=inside.files,
        contexts=inside.contexts,
        max_output_bytes=settings.max_output_bytes,
        uses=uses,
        short_uses=short_uses,
        readiness=services.readiness,
        metrics=base.exposition,
        tokens=base.access,
        waiting=runtime.waiting,
    )
    ws.WS.register(
        app,
        routes.blueprint(
            services.sandboxes,
            runtime.commands,
            inside.files,
            services.watcher,
            services.connections,
            base.metrics,
            inside.held_input,
            runtime.websockets,
            settings.write_timeout,
        ),
    )
    rest.REST.register(
        app,
        port_routes.blueprint(
            inside.ports,
            short_uses,
            base.access.issue_for_port,
            ttl_s=settings.port_token_ttl,
            longest_ttl_s=settings.token_ttl,
            domains=settings.ports_domains,
        ),
    )
    ports.PORTS.register(
        app,
        port_traffic.blueprint(
            inside.ports,
            short_uses,
            inside.port_connections,
            runtime.exchanges,
            base.metrics,
            settings.port_idle_timeout,
        ),
    )
    interpreter = interpreter_routes.blueprint(
        inside.contexts, short_uses, runtime.waiting, client_presence.leaving
    )
    rpc = ConnectRpc(runtime.waiting, runtime.e2b_streams)
    awake = Awake(services.sandboxes, services.changes)
    signed = SignedAddresses(base.access, awake.require)
    e2b.register(
        app,
        _control_services(runtime, settings),
        data_plane=[
            interpreter,
            process_routes.blueprint(rpc, runtime.commands, short_uses),
            filesystem_routes.blueprint(rpc, inside.files, short_uses, uses),
            envd_files.blueprint(rpc, inside.files, short_uses, signed, settings.archive_mb * MIB),
        ],
    )
    mcp.register(
        app,
        _tool_services(runtime, uses, short_uses, settings),
        mcp.Defaults(
            settings.mcp_wait,
            settings.mcp_chars,
            settings.mcp_max_chars,
            settings.mcp_timeout or None,
        ),
        settings.mcp_tool_names,
    )
    unread_answers.install(app, inside.held_output)
    return app


def _control_services(runtime: Runtime, settings: Settings) -> e2b.ControlServices:
    services = runtime.services
    return e2b.ControlServices(
        creation=services.creation,
        sandboxes=services.sandboxes,
        changes=services.changes,
        snapshots=runtime.snapshots,
        lifecycle=services.lifecycle,
        samples_of=services.usage.of,
        tokens=runtime.base.access,
        words=TemplateWords(
            (*settings.allowed_images, *settings.own_templates),
            services.template_store.image_of,
            lambda word, owner: services.bases.named(word, owner).snapshot_id,
            {f"{name}-v1": name for name in settings.own_templates},
        ),
        templates=Templates(
            runtime.templates.keeping.list,
            settings.cpus,
            settings.memory_mb,
            settings.disk_mb or 0,
        ),
        domains=settings.ports_domains,
        with_root=settings.allow_root,
    )


def _tool_services(
    runtime: Runtime, uses: SandboxUses, short_uses: SandboxUses, settings: Settings
) -> mcp.Services:
    services, inside, issue = runtime.services, runtime.inside, runtime.base.access.issue_for_port
    ttl_s = min(settings.port_token_ttl, settings.token_ttl)

    def port_address(sandbox_id: str, port: int) -> PortToken:
        token = issue(sandbox_id, port, ttl_s)
        return port_routes.issued(sandbox_id, port, token, settings.ports_domains)

    return mcp.Services(
        creation=services.creation,
        sandboxes=services.sandboxes,
        changes=services.changes,
        snapshots=runtime.snapshots,
        commands=runtime.commands,
        files=inside.files,
        uses=uses,
        short_uses=short_uses,
        held_output=inside.held_output,
        waiting=runtime.waiting,
        port_address=port_address,
        is_listening=lambda container_id, port: (
            port in (one.port for one in inside.ports.listening(container_id))
        ),
    )


def runtime_of(app: Flask) -> Runtime:
    """The runtime behind an application that `create_app` made."""
    return cast(Runtime, app.extensions[_EXTENSION])
