"""`/openapi.json`."""

from __future__ import annotations

from functools import cache
from typing import Any

from flask import Blueprint, Flask, Response

from gateway.schemas.route_documentation import Reply, documented


def blueprint(app: Flask) -> Blueprint:
    """The route that serves the document of `app`, which is made when it is first asked for."""
    routes = Blueprint("openapi", __name__)

    @cache
    def document() -> str:
        # Most workers are never asked: the models of OpenAPI are a tenth of a worker's start. An
        # import does not switch greenlets, so no other one finds it half done.
        from gateway.api.rest.openapi.document import describe

        return describe(app).model_dump_json(by_alias=True, exclude_unset=True)

    @routes.get("/openapi.json")
    @documented(
        summary="The API as an OpenAPI document",
        tag="Service",
        replies={200: Reply(dict[str, Any], "OpenAPI 3.1.")},
    )
    def show() -> Response:
        return Response(document(), content_type="application/json")

    return routes
