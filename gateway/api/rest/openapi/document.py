"""The API's document, made from the routes of the application and what their views record.

Imported by the first request for it, no sooner (`gateway.api.rest.openapi.route`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from flask import Flask
from openapi_pydantic import (
    Components,
    Info,
    OpenAPI,
    Operation,
    PathItem,
    Schema,
    SecurityScheme,
    Server,
    Tag,
)
from pydantic import TypeAdapter
from werkzeug.routing import Rule

from gateway import __version__
from gateway.api.rest.openapi.operations import Schemas, operation
from gateway.api.rest.openapi.parameters import ACCEPT_LANGUAGE
from gateway.middleware import authentication, e2b_target
from gateway.schemas import route_documentation
from gateway.schemas.models import Problem

_DESCRIPTION = """\
Throw-away Linux machines over HTTP and WebSockets.

Create a sandbox, open a WebSocket to `/ws/{sandbox_id}`, send commands as JSON and get one result
for each. Closing the WebSocket destroys nothing and loses no running command; a sandbox that
nobody uses is removed, or paused, after its idle time. Clients without WebSockets do the same below
`/sandboxes/{sandbox_id}/commands`.

Every error is a problem document (RFC 9457) with a stable `code`, and a `message` in the language
that `Accept-Language` asks for.
"""

_TAGS = [
    Tag(name="Sandboxes", description="Create, change, pause, watch, delete."),
    Tag(name="Commands", description="Run commands in a sandbox."),
    Tag(name="Contexts", description="Run code in interpreters that keep their state."),
    Tag(name="Files", description="Read, write, list and move files of a sandbox."),
    Tag(name="Ports", description="Reach servers that listen in a sandbox."),
    Tag(name="Snapshots", description="Keep the files of a sandbox, and make others of them."),
    Tag(name="Templates", description="Images that operators have built."),
    Tag(name="Tokens", description="Let somebody into one sandbox."),
    Tag(name="Service", description="The gateway itself."),
]

_SECURITY_SCHEMES = {
    "bearer": SecurityScheme(
        type="http",
        scheme="bearer",
        description="An API key or, for its sandbox, an access token. Browsers pass an access "
        "token on WebSockets as the subprotocol `bearer.<token>`.",
    ),
    "apiKey": SecurityScheme.model_validate(
        {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "Likewise."}
    ),
}

_CONVERTER = re.compile(r"<(?:[^<>:]+:)?([^<>:]+)>")


class UndocumentedRoute(Exception):
    """A view says nothing about itself: neither `documented` nor `not_part_of_the_api`."""


class _Route(NamedTuple):
    rule: Rule
    method: str
    record: route_documentation.Operation


def describe(app: Flask) -> OpenAPI:
    """The document of all routes `app` has now. Raises UndocumentedRoute, naming the route."""
    routes = list(_routes(app))
    schemas, components = _schemas(routes)
    paths: dict[str, dict[str, Operation]] = {}
    for rule, method, record in routes:
        path = _CONVERTER.sub(r"{\1}", rule.rule)
        paths.setdefault(path, {})[method.lower()] = operation(
            record,
            name=rule.endpoint.replace(".", "_"),
            path_parameters=rule.arguments,
            schemas=schemas,
            is_open=rule.endpoint in authentication.OPEN_ENDPOINTS,
        )
    return OpenAPI(
        openapi="3.1.1",
        info=Info(title="Sandbox Gateway", version=__version__, description=_DESCRIPTION),
        servers=[Server(url="/")],
        tags=_TAGS,
        paths={path: PathItem.model_validate(methods) for path, methods in sorted(paths.items())},
        components=Components(
            schemas=components,
            parameters={"AcceptLanguage": ACCEPT_LANGUAGE},
            securitySchemes=_SECURITY_SCHEMES,
        ),
        # Where no keys are configured there is a third way: nothing at all.
        security=[{name: []} for name in _SECURITY_SCHEMES]
        + ([] if authentication.needs_key(app) else [{}]),
    )


def _routes(app: Flask) -> Iterator[_Route]:
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith(e2b_target.PREFIX):
            continue  # of another protocol, and no addresses that anybody can ask for
        record = route_documentation.documentation(app.view_functions[rule.endpoint])
        if record is None:
            raise UndocumentedRoute(f"{rule.rule} ({rule.endpoint})")
        if isinstance(record, route_documentation.Operation):
            for method in sorted((rule.methods or {"GET"}) - {"HEAD", "OPTIONS"}):
                yield _Route(rule, method, record)


def _schemas(routes: list[_Route]) -> tuple[Schemas, dict[str, Schema]]:
    kinds: set[Any] = {Problem}
    for _, _, record in routes:
        for reply in record.replies.values():
            kinds |= {*reply.events, *([] if reply.body is None else [reply.body])}
        if record.body:
            kinds.add(record.body)
        if record.socket:
            kinds |= {*record.socket.from_client, *record.socket.to_client}
    by_kind, definitions = TypeAdapter.json_schemas(
        [(kind, "validation", TypeAdapter(kind)) for kind in sorted(kinds, key=repr)],
        ref_template="#/components/schemas/{model}",
    )
    components = {
        name: Schema.model_validate(schema) for name, schema in sorted(definitions["$defs"].items())
    }
    return {kind: schema for (kind, _), schema in by_kind.items()}, components
