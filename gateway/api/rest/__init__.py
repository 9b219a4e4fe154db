"""The REST edge: one blueprint per noun, problem documents, and the API's document.

It knows no engine and no store; `backend` says what it needs of the services behind it.
"""

from __future__ import annotations

from flask import Flask, Response, request

from gateway.api.rest import (
    command_output_routes,
    docs_page,
    errors,
    event_routes,
    request_id_in_path,
    service_routes,
    stats_routes,
)
from gateway.api.rest.backend import (
    ChangeService,
    CommandService,
    CreationService,
    LifecycleService,
    MetricsService,
    ReadinessService,
    SandboxService,
)
from gateway.api.rest.command_routes import blueprint as command_routes
from gateway.api.rest.openapi import route
from gateway.api.rest.sandbox_routes import blueprint as sandbox_routes
from gateway.api.rest.server_sent_events import EventStreams
from gateway.api.rest.stoppable_waits import Waiting
from gateway.commands.sandbox_use import CommandWatcher, SandboxUses
from gateway.middleware import answer_headers


def register(
    app: Flask,
    *,
    creation: CreationService,
    sandboxes: SandboxService,
    changes: ChangeService,
    lifecycle: LifecycleService,
    commands: CommandService,
    watcher: CommandWatcher,
    readiness: ReadinessService,
    metrics: MetricsService,
    waiting: Waiting,
    max_body_bytes: int,
) -> None:
    """Give `app` the REST routes and their errors.

    `language.install` must have been called. Call this before other routes are added: how slashes
    are treated is decided when a rule is bound. A view that takes larger bodies than
    `max_body_bytes` sets `request.max_content_length` itself. Whoever made `waiting` closes it.
    """
    # werkzeug answers a path with surplus slashes with a redirect whose body is HTML.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    answer_headers.install(app)
    app.after_request(_finish)
    errors.install(app)
    request_id_in_path.install(app)
    uses = SandboxUses(sandboxes, commands, watcher)
    streams = EventStreams(uses, waiting)
    app.register_blueprint(sandbox_routes(creation, sandboxes, changes))
    app.register_blueprint(stats_routes.blueprint(sandboxes))
    app.register_blueprint(event_routes.blueprint(lifecycle, waiting))
    app.register_blueprint(command_routes(commands, uses, waiting, streams))
    app.register_blueprint(command_output_routes.blueprint(commands, uses, waiting, streams))
    app.register_blueprint(service_routes.blueprint(readiness, metrics))
    app.register_blueprint(route.blueprint(app))
    app.register_blueprint(docs_page.blueprint())


def _finish(response: Response) -> Response:
    """An answer to OPTIONS has no body, and says so."""
    if request.method == "OPTIONS" and response.status_code == 200:
        response.status_code = 204
        response.headers.pop("Content-Type", None)
    return response
