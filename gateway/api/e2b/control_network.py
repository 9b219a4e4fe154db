"""What a sandbox may reach, changed on E2B's control plane: as far as it is so already."""

from __future__ import annotations

from flask import Blueprint, Response
from werkzeug import exceptions as http_errors

from gateway.api.asking.json_bodies import read_json
from gateway.api.e2b.backend import SandboxService
from gateway.api.e2b.control_answers import nothing
from gateway.api.e2b.control_models import ChangeNetwork
from gateway.api.e2b.missing import is_offline, refuse_rules


def blueprint(sandboxes: SandboxService) -> Blueprint:
    """The one route."""
    routes = Blueprint("e2b_network", __name__, url_prefix="/e2b/control")

    @routes.put("/sandboxes/<sandbox_id>/network")
    def replace(sandbox_id: str) -> Response:
        asked = read_json(ChangeNetwork)
        view = sandboxes.get(sandbox_id)
        refuse_rules(asked)
        wants_none = is_offline(asked) or asked.allow_internet_access is False
        if wants_none != (view.network == "none"):
            raise http_errors.NotImplemented(
                "this gateway gives a sandbox its network when it is made, and does not change it"
            )
        return nothing()

    return routes
