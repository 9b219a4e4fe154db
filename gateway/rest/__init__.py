"""The REST edge: one blueprint per noun, problem documents, and the API's document.

It knows no engine and no store; `backend` says what it needs of the services behind it.
"""

from __future__ import annotations

from flask import Flask, Response, request

from gateway import answer_headers
from gateway.rest import (
    command_output,
    docs,
    errors,
    lifecycle_events,
    openapi,
    request_ids,
    sandbox_stats,
    service,
)
from gateway.rest.backend import (
    ChangeService,
    CommandService,
    CreationService,
    LifecycleService,
    MetricsService,
    Occupancy,
    ReadinessService,
    SandboxService,
)
from gateway.rest.commands import blueprint as command_routes
from gateway.rest.event_stream import EventStreams
from gateway.rest.sandboxes import blueprint as sandbox_routes
from gateway.rest.usage import Usage
from gateway.rest.waiting import Waiting


def register(
    app: Flask,
    *,
    creation: CreationService,
    sandboxes: SandboxService,
    changes: ChangeService,
    lifecycle: LifecycleService,
    commands: CommandService,
    occupancy: Occupancy,
    readiness: ReadinessService,
    metrics: MetricsService,
    waiting: Waiting,
    max_body_bytes: int,
) -> None:
    """Give `app` the REST routes and their errors.

    `gateway.messages.install` must have been called. Call this before other routes are added: how
    slashes are treated is decided when a rule is bound. A view that takes larger bodies than
    `max_body_bytes` sets `request.max_content_length` itself. Whoever made `waiting` closes it.
    """
    # werkzeug answers a path with surplus slashes with a redirect whose body is HTML.
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = False
    app.config["MAX_CONTENT_LENGTH"] = max_body_bytes
    answer_headers.install(app)
    app.after_request(_finish)
    errors.install(app)
    request_ids.install(app)
    usage = Usage(sandboxes, commands, occupancy)
    streams = EventStreams(usage, waiting)
    app.register_blueprint(sandbox_routes(creation, sandboxes, changes))
    app.register_blueprint(sandbox_stats.blueprint(sandboxes))
    app.register_blueprint(lifecycle_events.blueprint(lifecycle, waiting))
    app.register_blueprint(command_routes(commands, usage, waiting, streams))
    app.register_blueprint(command_output.blueprint(commands, usage, waiting, streams))
    app.register_blueprint(service.blueprint(readiness, metrics))
    app.register_blueprint(openapi.blueprint(app))
    app.register_blueprint(docs.blueprint())


def _finish(response: Response) -> Response:
    """An answer to OPTIONS has no body, and says so."""
    if request.method == "OPTIONS" and response.status_code == 200:
        response.status_code = 204
        response.headers.pop("Content-Type", None)
    return response
