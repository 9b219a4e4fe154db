"""Whether a sandbox runs, as E2B's clients ask after every error: 204, or 502."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.api.e2b.backend import SandboxService


def blueprint(sandboxes: SandboxService) -> Blueprint:
    """The one route that takes no token."""
    routes = Blueprint("e2b_health", __name__, url_prefix="/e2b/envd/<sandbox_id>")

    @routes.get("/health")
    def show(sandbox_id: str) -> Response:
        sandboxes.get(sandbox_id)
        response = Response(status=204)
        response.headers.pop("Content-Type", None)
        return response

    return routes
