"""The route of the protocol: one POST per message, answered with JSON; and what clients look for
beside it."""

from __future__ import annotations

from typing import Any

import gevent
import orjson
from flask import Blueprint, Response, request
from mcp_types import JSONRPCNotification, JSONRPCRequest
from pydantic import ValidationError

from gateway.api.mcp import protocol_eras
from gateway.api.mcp.methods import Methods
from gateway.api.mcp.rpc_errors import RpcError, invalid_request, parse_error
from gateway.errors import BadMediaType, BadRequest, BodyTimeout
from gateway.middleware import authentication
from gateway.schemas import strict_json
from gateway.schemas.json_in_threads import read_aside
from gateway.schemas.route_documentation import not_part_of_the_api

JSON = "application/json"

WITHIN_S = 20.0
"""Time that a body may take."""

MOST_IN_A_BATCH = 16

_HEADERS = (
    protocol_eras.VERSION_HEADER,
    protocol_eras.METHOD_HEADER,
    protocol_eras.NAME_HEADER,
)


def blueprint(methods: Methods) -> Blueprint:
    """The routes `/mcp` and `/.well-known/oauth-…`."""
    routes = Blueprint("mcp", __name__)

    @routes.post("/mcp")
    @not_part_of_the_api("its messages are those of another protocol: see docs/mcp.md")
    def answer() -> Response:
        try:
            return _answered(methods, _body())
        except RpcError as error:
            return _json(error.message_to(None), error.status(is_modern=True))

    return routes


def discovery() -> Blueprint:
    """What says that there is no OAuth here: clients that are refused look for it."""
    routes = Blueprint("mcp_discovery", __name__)

    @routes.get("/.well-known/oauth-<path:_rest>")
    @routes.get("/.well-known/openid-configuration")
    @routes.get("/.well-known/openid-configuration/<path:_rest>")
    @not_part_of_the_api("there is nothing at these addresses")
    def missing(_rest: str = "") -> Response:
        said = {
            "error": "not_found",
            "error_description": "no OAuth here: send an API key as Authorization: Bearer …",
        }
        return _json(said, 404)

    return routes


def _answered(methods: Methods, body: Any) -> Response:
    version = request.headers.get(protocol_eras.VERSION_HEADER)
    if isinstance(body, list):
        return _batch(methods, body, version)
    is_modern = protocol_eras.is_modern(version, body)
    said, status = _one(methods, body, is_modern=is_modern)
    return Response(status=202, content_type=JSON) if said is None else _json(said, status)


def _batch(methods: Methods, body: list[Any], version: str | None) -> Response:
    if (version or protocol_eras.BEFORE_THE_HEADER) not in protocol_eras.BATCHING:
        raise invalid_request("a body is one message; several of them are of revisions before")
    if not 0 < len(body) <= MOST_IN_A_BATCH:
        raise invalid_request(f"a body has 1 to {MOST_IN_A_BATCH} messages")
    answers = []
    count = authentication.pace()
    for _ in body[1:]:
        count()  # the request itself was counted
    for message in body:
        try:
            said, _ = _one(methods, message, is_modern=False)
        except RpcError as error:
            said = error.message_to(None)
        if said is not None:
            answers.append(said)
    return _json(answers, 200) if answers else Response(status=202, content_type=JSON)


def _one(methods: Methods, body: Any, *, is_modern: bool) -> tuple[dict[str, Any] | None, int]:
    """The answer to a message, and its status; None to what gets none. Raises RpcError for what is
    no message."""
    if _is_notification(body) or _is_response(body):
        return None, 202
    try:
        asked = JSONRPCRequest.model_validate(body)
    except ValidationError:
        raise invalid_request("it is no request of JSON-RPC 2.0") from None
    params = asked.params or {}
    try:
        if is_modern:
            headers = {name: request.headers.getlist(name) for name in _HEADERS}
            protocol_eras.check(asked.method, params, headers)
        result = methods.answer(asked.method, params, is_modern=is_modern)
    except RpcError as error:
        return error.message_to(asked.id), error.status(is_modern=is_modern)
    return {"jsonrpc": "2.0", "id": asked.id, "result": result}, 200


def _is_notification(body: Any) -> bool:
    """Whatever it tells: nothing here waits for any of it. A call is cancelled by whoever does not
    wait for the answer, and its command goes on."""
    if not isinstance(body, dict) or "id" in body:
        return False
    try:
        JSONRPCNotification.model_validate(body)
    except ValidationError:
        return False
    return True


def _is_response(body: Any) -> bool:
    """To a question that nobody asked."""
    return isinstance(body, dict) and "method" not in body and ("result" in body or "error" in body)


def _body() -> Any:
    """The JSON of the current request. Raises RpcError, BadMediaType, BodyTimeout and werkzeug's
    RequestEntityTooLarge."""
    if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise BadMediaType("a coded body is not unpacked")
    if not request.is_json:
        raise BadMediaType("a message is sent as application/json")
    with gevent.Timeout(WITHIN_S, BodyTimeout(f"not complete after {WITHIN_S:g} s")):
        raw = request.get_data(cache=False)
        request.stream.read(1)  # of a chunked body that is too long, only this raises
    if request.content_length not in (None, len(raw)):
        raise BadRequest("the body is shorter than its Content-Length")
    try:
        return read_aside(raw, lambda: strict_json.read(raw.decode("utf-8")))
    except UnicodeDecodeError as error:
        raise parse_error(f"no UTF-8 at byte {error.start}") from None
    except BadRequest as error:
        raise parse_error(error.detail) from None


def _json(said: object, status: int) -> Response:
    return Response(orjson.dumps(said), status, content_type=JSON)
