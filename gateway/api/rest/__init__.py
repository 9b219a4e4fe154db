"""The REST edge: one blueprint per noun, problem documents, and the API's document.

It knows no engine and no store; `backend` says what it needs of the services behind it.
"""

from __future__ import annotations

from flask import Flask, Response, request

from gateway.api.rest import (
    archive_routes,
    command_output_routes,
    context_routes,
    docs_page,
    event_routes,
    execution_routes,
    file_routes,
    path_routes,
    request_id_in_path,
    service_routes,
    snapshot_routes,
    stats_routes,
    template_routes,
    token_routes,
    watch_routes,
)
from gateway.api.rest.backend import (
    ChangeService,
    CommandService,
    CreationService,
    LifecycleService,
    MetricsService,
    ReadinessService,
    SandboxService,
    SnapshotServices,
    TemplateServices,
)
from gateway.api.rest.command_routes import blueprint as command_routes
from gateway.api.rest.openapi import route
from gateway.api.rest.sandbox_routes import blueprint as sandbox_routes
from gateway.api.rest.server_sent_events import EventStreams
from gateway.api.rest.stoppable_waits import Waiting
from gateway.api.rest.token_routes import Tokens
from gateway.contexts.service import Contexts
from gateway.files.service import Files
from gateway.middleware.surfaces import Surface
from gateway.use.sandbox_use import SandboxUses


def _finish(response: Response) -> Response:
    """An answer to OPTIONS has no body, and says so."""
    if request.method == "OPTIONS" and response.status_code == 200:
        response.status_code = 204
        response.headers.pop("Content-Type", None)
    return response


REST = Surface("rest", finish=_finish)
"""Problem documents, the headers of plain data, bodies of up to 1 MiB."""


def register(
    app: Flask,
    *,
    creation: CreationService,
    sandboxes: SandboxService,
    changes: ChangeService,
    lifecycle: LifecycleService,
    snapshots: SnapshotServices,
    templates: TemplateServices,
    commands: CommandService,
    files: Files,
    contexts: Contexts,
    max_output_bytes: int,
    uses: SandboxUses,
    short_uses: SandboxUses,
    readiness: ReadinessService,
    metrics: MetricsService,
    tokens: Tokens,
    waiting: Waiting,
    surface: Surface = REST,
) -> None:
    """Give `app`, where `surfaces.install` has been called, the REST routes.

    `short_uses` are for what is answered at once, `uses` for what goes on while it is answered.
    Whoever made `waiting` closes it.
    """
    request_id_in_path.install(app)
    streams = EventStreams(uses, waiting)
    surface.register(
        app,
        sandbox_routes(creation, sandboxes, changes),
        snapshot_routes.blueprint(snapshots),
        template_routes.blueprint(templates, waiting),
        stats_routes.blueprint(sandboxes),
        event_routes.blueprint(lifecycle, waiting),
        command_routes(commands, uses, short_uses, waiting, streams),
        command_output_routes.blueprint(commands, uses, short_uses, waiting, streams),
        context_routes.blueprint(contexts, short_uses, waiting),
        execution_routes.blueprint(contexts, short_uses, waiting, max_output_bytes),
        file_routes.blueprint(files, short_uses, waiting),
        archive_routes.blueprint(files, short_uses, waiting),
        watch_routes.blueprint(files, uses, waiting),
        path_routes.blueprint(files, short_uses, waiting),
        token_routes.blueprint(tokens),
        service_routes.blueprint(readiness, metrics),
        route.blueprint(app),
        docs_page.blueprint(),
    )
