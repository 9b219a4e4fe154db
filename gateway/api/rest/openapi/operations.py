"""One documented view as an OpenAPI operation."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from openapi_pydantic import (
    Example,
    Header,
    MediaType,
    Operation,
    Reference,
    RequestBody,
    Response,
    Schema,
)

from gateway.api.rest.openapi.parameters import parameters
from gateway.errors import (
    AddressNotFound,
    AddressTooLong,
    BadRequest,
    ForeignHost,
    ForeignOrigin,
    GatewayError,
    HeadersTooLarge,
    RateLimited,
    TokenNotEnough,
    TooManyConnections,
    Unauthorized,
)
from gateway.middleware import problem_documents
from gateway.schemas import route_documentation
from gateway.schemas.models import Problem

Schemas = Mapping[Any, dict[str, Any]]
"""The JSON Schema of each type: for models a `$ref` into the components."""

EVENT_STREAM = "text/event-stream"

_SERVER_SENT_EVENT = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("event", "id", "data")},
}

_ANYWHERE = (BadRequest, ForeignHost, ForeignOrigin, AddressTooLong, HeadersTooLarge)
_WITH_KEYS = (Unauthorized, TokenNotEnough, RateLimited, TooManyConnections)


def operation(
    record: route_documentation.Operation,
    *,
    name: str,
    path_parameters: Iterable[str],
    schemas: Schemas,
    is_open: bool,
) -> Operation:
    """What `record` says, with what holds for every route. `schemas` must have all its types.

    An open one needs no API key, wherever keys are configured.
    """
    in_path = sorted(path_parameters)
    kinds = [*record.errors, *_ANYWHERE, *([AddressNotFound] if in_path else [])]
    if not is_open:
        kinds.extend(_WITH_KEYS)
    parts: dict[str, Any] = {
        "operationId": name,
        "tags": [record.tag],
        "summary": record.summary,
        "parameters": list(parameters(record, in_path)),
        "responses": {
            **{str(status): _reply(reply, schemas) for status, reply in record.replies.items()},
            **dict(_problems([*expanded(kinds), GatewayError], schemas)),
        },
    }
    if is_open:
        parts["security"] = []
    description = [record.description] if record.description else []
    if record.socket:
        description.append(_frames(record.socket))
    description.extend(_events(reply) for reply in record.replies.values() if reply.events)
    if description:
        parts["description"] = "\n\n".join(description)
    if record.body:
        parts["requestBody"] = RequestBody(
            content={"application/json": MediaType(schema=_schema(schemas[record.body]))},
            required=any(field.is_required() for field in record.body.model_fields.values()),
        )
    if record.upload:
        parts["requestBody"] = RequestBody(
            content={record.upload: MediaType(schema=_schema({"type": "string"}))}, required=True
        )
    if record.socket:
        parts["x-websocket-messages"] = _messages(record.socket, schemas)
    return Operation(**parts)


def expanded(kinds: Iterable[type[GatewayError]]) -> Iterator[type[GatewayError]]:
    """Each of `kinds`, followed by all that inherit from it."""
    for kind in kinds:
        yield kind
        yield from expanded(kind.__subclasses__())


def _schema(schema: Mapping[str, Any]) -> Schema | Reference:
    if "$ref" in schema:
        return Reference.model_validate(schema)
    return Schema.model_validate(schema)


def _header(description: str, kind: str = "string") -> Header:
    return Header(description=description, schema=_schema({"type": kind}))


def _reply(reply: route_documentation.Reply, schemas: Schemas) -> Response:
    parts: dict[str, Any] = {"description": reply.description or "Success."}
    if reply.headers:
        parts["headers"] = {name: _header(text) for name, text in reply.headers.items()}
    content = {}
    if reply.media_type:
        schema = {"type": "string"} if reply.body is None else schemas[reply.body]
        content[reply.media_type] = MediaType(schema=_schema(schema))
    if reply.events:
        # OpenAPI 3.1 knows no event streams: the schema is that of one event, and the type of its
        # `data` is in an extension.
        content[EVENT_STREAM] = MediaType(
            schema=_schema(_SERVER_SENT_EVENT),
            **{"x-event-messages": [schemas[message] for message in reply.events]},
        )
    if content:
        parts["content"] = content
    return Response(**parts)


def _problems(
    kinds: Iterable[type[GatewayError]], schemas: Schemas
) -> Iterator[tuple[str, Response]]:
    by_status: dict[int, dict[str, type[GatewayError]]] = {}
    for kind in kinds:
        by_status.setdefault(problem_documents.status_of(kind), {}).setdefault(kind.code, kind)
    for status, by_code in sorted(by_status.items()):
        yield str(status), _problem(status, by_code, schemas)


def _problem(status: int, by_code: Mapping[str, type[GatewayError]], schemas: Schemas) -> Response:
    narrowed = {
        "allOf": [
            schemas[Problem],
            {"properties": {"status": {"const": status}, "code": {"enum": sorted(by_code)}}},
        ]
    }
    headers = {"Content-Language": _header("Language of `message`.")}
    if problem_documents.has_retry_after(status):
        headers["Retry-After"] = _header("Seconds after which to try again.", "integer")
    if status == problem_documents.status_of(Unauthorized):
        headers["WWW-Authenticate"] = _header(f"`{problem_documents.CHALLENGE}`.")
    return Response(
        description="\n".join(f"- `{code}`: {kind.title}" for code, kind in by_code.items()),
        headers=headers,
        content={
            problem_documents.MEDIA_TYPE: MediaType(
                schema=_schema(narrowed),
                examples={code: _example(status, kind) for code, kind in by_code.items()},
            )
        },
    )


def _example(status: int, kind: type[GatewayError]) -> Example:
    message = kind.message or kind.title
    problem = Problem(
        type=problem_documents.problem_type(kind.code),
        title=kind.title,
        status=status,
        detail=kind.title,
        code=kind.code,
        message=message.replace("%(sandbox_id)s", "5f0c6d0f6b0e4f6e9a1d2c3b4a596877"),
    )
    return Example(value=problem.model_dump(exclude_none=True))


def _frames(socket: route_documentation.Socket) -> str:
    from_client = ", ".join(f"`{message.__name__}`" for message in socket.from_client)
    to_client = ", ".join(f"`{message.__name__}`" for message in socket.to_client)
    return f"Text frames from the client: {from_client}. To the client: {to_client}. See *Schemas*."


def _events(reply: route_documentation.Reply) -> str:
    named = ", ".join(f"`{message.__name__}`" for message in reply.events)
    return (
        f"Asked for by `Accept: {EVENT_STREAM}`, it is a stream of server-sent events: {named}. "
        f"`data` is the message as JSON, {reply.event_fields}"
    )


def _messages(socket: route_documentation.Socket, schemas: Schemas) -> dict[str, Any]:
    return {
        "fromClient": [schemas[message] for message in socket.from_client],
        "toClient": [schemas[message] for message in socket.to_client],
        "errorCodes": {kind.code: kind.title for kind in expanded(socket.errors)},
    }
