"""`/docs`: the API's document as a page, with nothing from outside.

Swagger UI comes as files from the package flask-openapi3-swagger, of which no code is used.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from flask import Blueprint, Response, render_template, send_from_directory

from gateway.errors import AddressNotFound
from gateway.schemas.route_documentation import Reply, documented, not_part_of_the_api

_SWAGGER_UI = Path(str(files("flask_openapi3_swagger"))) / "templates" / "swagger"
_OWN = Path(__file__).parent / "static"

_ASSETS = {
    "swagger-ui.css": _SWAGGER_UI / "css",
    "swagger-ui-bundle.js": _SWAGGER_UI / "js",
    "swagger.svg": _SWAGGER_UI / "images",
    "docs.css": _OWN,
    "docs.js": _OWN,
}

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


def blueprint() -> Blueprint:
    """The page and its assets."""
    routes = Blueprint("docs", __name__, url_prefix="/docs", template_folder="templates")

    @routes.get("")
    @documented(
        summary="The API as a page, for browsers",
        tag="Service",
        replies={200: Reply(None, "For people.", media_type="text/html; charset=utf-8")},
    )
    def show() -> Response:
        response = Response(render_template("docs.html"), content_type="text/html; charset=utf-8")
        response.headers["Content-Security-Policy"] = _POLICY
        return response

    @routes.get("/assets/<name>")
    @not_part_of_the_api("files of the page")
    def asset(name: str) -> Response:
        if name not in _ASSETS:
            raise AddressNotFound
        return send_from_directory(_ASSETS[name], name, max_age=86400)

    return routes
