"""Errors as problem documents (RFC 9457), and the only table of HTTP statuses."""

from __future__ import annotations

import math
import re
from uuid import uuid4

import orjson
from flask import Response, current_app, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException
from werkzeug.routing import WebsocketMismatch

from gateway import errors
from gateway.errors import GatewayError
from gateway.logs.line_budget import bounded_log
from gateway.middleware import language
from gateway.schemas.models import Problem

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER_S = 5

CHALLENGE = "Bearer"
"""How to authenticate (RFC 9110, section 11.6.1; RFC 6750)."""

_STATUS: dict[type[GatewayError], int] = {
    errors.ClientFault: 400,
    errors.ForeignHost: 403,
    errors.ForeignOrigin: 403,
    errors.Unauthorized: 401,
    errors.TokenNotEnough: 403,
    errors.OperatorsOnly: 403,
    errors.SandboxNotFound: 404,
    errors.AddressNotFound: 404,
    errors.CommandNotFound: 404,
    errors.ContextNotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.BodyTimeout: 408,
    errors.RequestIdInUse: 409,
    errors.SandboxBusy: 409,
    errors.NameTaken: 409,
    errors.IdempotencyKeySpent: 409,
    errors.SnapshotNotFound: 404,
    errors.BaseImageChanged: 409,
    errors.TooManySnapshots: 429,
    errors.SnapshotTooLarge: 422,
    errors.SnapshotUnrelated: 422,
    errors.TemplateNotFound: 404,
    errors.TooManyTemplates: 429,
    errors.TemplateTooLarge: 422,
    errors.BadTemplate: 422,
    errors.BuildFailed: 422,
    errors.CommandFinished: 409,
    errors.StdinNotOpen: 409,
    errors.StdinFull: 409,
    errors.TerminalMissing: 409,
    errors.BodyTooLarge: 413,
    errors.AddressTooLong: 414,
    errors.BadMediaType: 415,
    errors.BadOffset: 416,
    errors.BadFields: 422,
    errors.FeatureMissing: 422,
    errors.UserUnavailable: 422,
    errors.LineTooLong: 422,
    errors.IsolationUnavailable: 422,
    errors.IdempotencyKeyReused: 422,
    errors.UpgradeRequired: 426,
    errors.HeadersTooLarge: 431,
    errors.TooManyCommands: 429,
    errors.TooManySandboxes: 429,
    errors.TooManyLabels: 429,
    errors.TooManyWaiting: 429,
    errors.TooManyFollowers: 429,
    errors.TooManyStreams: 429,
    errors.TooManyPortConnections: 429,
    errors.TooMuchQueued: 429,
    errors.TooMuchUnread: 429,
    errors.RateLimited: 429,
    errors.TooManyConnections: 429,
    errors.PermissionDenied: 403,
    errors.PathNotFound: 404,
    errors.PathError: 409,
    errors.Changed: 412,
    errors.TooLarge: 413,
    errors.BadRange: 416,
    errors.BadPath: 422,
    errors.BadArchive: 422,
    errors.BadMetadata: 422,
    errors.TooManyWatches: 429,
    errors.WatchNotFound: 404,
    errors.TooManyContexts: 429,
    errors.TooManyExecutions: 429,
    errors.NoSpace: 507,
    errors.FileFault: 502,
    errors.SandboxFault: 502,
    errors.HostFault: 503,
}

_OF_WERKZEUG: dict[int, type[GatewayError]] = {
    400: errors.BadRequest,
    404: errors.AddressNotFound,
    405: errors.MethodNotAllowed,
    408: errors.BodyTimeout,
    413: errors.BodyTooLarge,
    415: errors.BadMediaType,
    500: GatewayError,
}

_SAID_BY_THE_HOST = (errors.HostFault, errors.AgentUnavailable, errors.LinkLost)

_log = bounded_log(__name__)


def status_of(kind: type[GatewayError]) -> int:
    """The HTTP status an error is answered with."""
    return next((_STATUS[c] for c in kind.__mro__ if c in _STATUS), 500)


def problem_type(code: str) -> str:
    """The URI that names a kind of problem. It leads nowhere."""
    return f"urn:sandbox-gateway:problem:{code}"


def has_retry_after(status: int) -> bool:
    """Whether the same request may succeed a little later."""
    return status in (429, 503)


def public_detail(error: GatewayError) -> str:
    """What clients may read about this occurrence, in English.

    What the engine and the store say names images, paths and addresses of the host.
    """
    return error.title if isinstance(error, _SAID_BY_THE_HOST) else str(error)


def problem_of(error: GatewayError) -> Problem:
    """The document about one of several things that were asked for, which was refused. What is not
    the client's doing is logged."""
    status = status_of(type(error))
    if status >= 500:
        _log.warning("%s: %s: %s", request.endpoint, error.code, error)
    return _document(error, status, detail=public_detail(error))


def answer_to(error: Exception) -> Response | HTTPException:
    """The answer to whatever the current request has raised; a redirect is one by itself."""
    if isinstance(error, WebsocketMismatch):
        return _of_websocket_mismatch()
    if isinstance(error, HTTPException):
        return _of_http_exception(error)
    if isinstance(error, GatewayError):
        return _of_gateway_error(error)
    if isinstance(error, ParseException):  # gunicorn parses chunks while a view reads the body
        return _of_gateway_error(errors.BadRequest("the framing of the body is broken"))
    return _of_unexpected(error)


def _of_gateway_error(error: GatewayError) -> Response:
    status = status_of(type(error))
    if status == 500:
        return _of_unexpected(error)
    if isinstance(error, _SAID_BY_THE_HOST):
        return _of_fault(error)
    return _answer(_document(error, status, detail=str(error)), error.retry_after_s)


def _of_fault(error: GatewayError) -> Response:
    instance = uuid4().urn
    _log.warning("%s: %s: %s (%s)", request.endpoint, error.code, error, instance)
    detail = public_detail(error)
    return _answer(_document(error, status_of(type(error)), detail=detail, instance=instance))


def _of_unexpected(error: Exception) -> Response:
    instance = uuid4().urn
    _log.error("%s failed unexpectedly (%s)", request.endpoint, instance, exc_info=error)
    unknown = GatewayError()
    return _answer(_document(unknown, 500, detail=unknown.title, instance=instance))


def _of_http_exception(error: HTTPException) -> Response | HTTPException:
    status = error.code or 500
    if status < 400:
        return error
    if status in _OF_WERKZEUG:
        known = _OF_WERKZEUG[status]()
        response = _answer(_document(known, status, detail=error.description or known.title))
    else:
        response = _answer(_of_unknown_status(error, status))
    response.headers.extend(
        (name, value)
        for name, value in error.get_headers(request.environ)
        if name.lower() != "content-type"
    )
    return response


def _of_unknown_status(error: HTTPException, status: int) -> Problem:
    code = re.sub(r"[^a-z0-9]+", "_", error.name.lower()).strip("_")
    general = errors.ClientFault if status < 500 else GatewayError
    return Problem(
        type=problem_type(code),
        title=error.name,
        status=status,
        detail=error.description or error.name,
        code=code,
        message=language.translate(general.title),
    )


def _of_websocket_mismatch() -> Response:
    adapter = current_app.create_url_adapter(request)
    if adapter is not None and adapter.websocket:
        return _of_gateway_error(errors.BadRequest("this address does not speak WebSocket"))
    response = _of_gateway_error(errors.UpgradeRequired())
    response.headers["Upgrade"] = "websocket"
    return response


def _document(error: GatewayError, status: int, *, detail: str, **members: object) -> Problem:
    return Problem.model_validate(
        {
            "type": problem_type(error.code),
            "title": error.title,
            "status": status,
            "detail": detail,
            "code": error.code,
            "message": language.localised(error),
            **error.members,
            **members,
        }
    )


def _answer(problem: Problem, retry_after_s: float | None = None) -> Response:
    # What does not apply is left out; within a member, null is said.
    members = {name: value for name, value in problem.model_dump().items() if value is not None}
    response = Response(orjson.dumps(members), problem.status, content_type=MEDIA_TYPE)
    if has_retry_after(problem.status):
        wait_s = RETRY_AFTER_S if retry_after_s is None else max(1, math.ceil(retry_after_s))
        response.headers["Retry-After"] = str(wait_s)
    if problem.status == status_of(errors.Unauthorized):
        response.headers["WWW-Authenticate"] = CHALLENGE
    return response
