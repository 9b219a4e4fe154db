"""What has no route below an address of E2B's: refused in E2B's form, whatever the method."""

from __future__ import annotations

from typing import NoReturn

from flask import Blueprint

from gateway.errors import AddressNotFound

_RULES = {
    "control": ("/e2b/control/<path:_rest>",),
    # What names a sandbox is checked like every route that does.
    "data": ("/e2b/<_plane>/<sandbox_id>/<path:_rest>", "/e2b/<path:_rest>"),
}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def blueprint(plane: str) -> Blueprint:
    """The last resort of a plane, `control` or `data`."""
    routes = Blueprint(f"e2b_unknown_{plane}", __name__)

    def refuse(**_values: str) -> NoReturn:
        raise AddressNotFound()

    for rule in _RULES[plane]:
        routes.add_url_rule(rule, view_func=refuse, methods=_METHODS)
    return routes
