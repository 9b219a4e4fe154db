"""What has no route below an address of E2B's: refused in E2B's form, whatever the method."""

from __future__ import annotations

from typing import NoReturn

from flask import Blueprint

from gateway.errors import AddressNotFound

_BELOW = {
    "control": "/e2b/control",
    "data": "/e2b",
}
_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def blueprint(plane: str) -> Blueprint:
    """The last resort of a plane, `control` or `data`."""
    routes = Blueprint(f"e2b_unknown_{plane}", __name__)

    @routes.route(f"{_BELOW[plane]}/<path:_rest>", methods=_METHODS)
    def refuse(_rest: str) -> NoReturn:
        raise AddressNotFound()

    return routes
