"""Errors in the form that E2B's clients expect, with the statuses that they map to exceptions.

A body without `code` or `message`, or one that is no JSON, ends these clients with a KeyError.
"""

from __future__ import annotations

import math

import orjson
from flask import Response, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import HTTPException

from gateway import errors
from gateway.errors import GatewayError
from gateway.logs.line_budget import bounded_log
from gateway.middleware import problem_documents
from gateway.middleware.e2b_target import e2b_target

_STATUS: dict[type[GatewayError], int] = {
    errors.BadFields: 400,
    errors.BadMediaType: 400,
    errors.FeatureMissing: 400,
    errors.IdempotencyKeyReused: 409,
    errors.SnapshotTooLarge: 400,
    errors.SnapshotUnrelated: 400,
    errors.IsolationUnavailable: 400,
    errors.BadPath: 400,
    errors.IsDirectory: 400,
    errors.NotAFile: 400,
    errors.NotDirectory: 400,
    errors.BadMetadata: 400,
    errors.FileFault: 500,
    errors.NoSpace: 507,
}
"""Where it is not the status that the same error has everywhere else."""

_LASTING = (errors.TooManySandboxes, errors.TooManySnapshots, errors.TooManyLabels)
"""Limits that do not pass by waiting: a client that tried again would wait for nothing."""

ROUTER_STATUS = 502
"""Of what the router itself says about a sandbox, whichever it is."""

_NOT_FOUND = "The sandbox was not found"
_PORT_CLOSED = "The sandbox is running but port is not open"
"""Clients look for both in the text."""

_log = bounded_log(__name__)


def status_of(kind: type[GatewayError]) -> int:
    """The HTTP status that E2B's clients get for an error."""
    known = next((_STATUS[c] for c in kind.__mro__ if c in _STATUS), None)
    return problem_documents.status_of(kind) if known is None else known


def of_control(error: Exception) -> Response | HTTPException:
    """The answer of the control plane to whatever the current request has raised."""
    if isinstance(error, HTTPException):
        return _of_http_exception(error)
    known = _known(error)
    return answer(known, *said_of(known))


def said_of(error: GatewayError) -> tuple[int, str]:
    """The status of an error, and what clients may read."""
    return status_of(type(error)), message_of(error)


def of_router(error: Exception) -> Response | HTTPException:
    """The answer of the data plane: what the sandbox itself is the reason of has a form, and a
    status, of its own."""
    target = e2b_target()
    known = _known(error) if not isinstance(error, HTTPException) else None
    if target is None or not isinstance(known, (errors.SandboxNotFound, errors.PortClosed)):
        return of_control(error)
    said: dict[str, object] = {"sandboxId": target.sandbox_id, "code": ROUTER_STATUS}
    if isinstance(known, errors.PortClosed):
        said |= {"message": _PORT_CLOSED, "port": int(target.port)}
    else:
        said["message"] = _NOT_FOUND
    return _written(said, ROUTER_STATUS)


def answer(error: GatewayError, status: int, message: str) -> Response:
    """`{"code", "message"}`, and when the same may be asked again."""
    response = _written({"code": status, "message": message}, status)
    if isinstance(error, _LASTING):
        response.headers["Should-Retry"] = "false"
    elif problem_documents.has_retry_after(status):
        wait_s = error.retry_after_s
        default_s = problem_documents.RETRY_AFTER_S
        response.headers["Retry-After"] = str(
            default_s if wait_s is None else max(1, math.ceil(wait_s))
        )
    return response


def message_of(error: GatewayError) -> str:
    """What clients may read; for values that are refused, which ones."""
    refused = error.members.get("errors")
    if isinstance(error, errors.BadFields) and isinstance(refused, list):
        return "; ".join(
            f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in refused
        )
    return problem_documents.public_detail(error)


def _known(error: Exception) -> GatewayError:
    """What was raised, as one of the gateway's errors. What nobody has foreseen, and what the host
    is at fault for, is logged."""
    if isinstance(error, ParseException):  # gunicorn parses chunks while a view reads the body
        return errors.BadRequest("the framing of the body is broken")
    if not isinstance(error, GatewayError) or problem_documents.status_of(type(error)) == 500:
        _log.error("%s failed unexpectedly", request.endpoint, exc_info=error)
        return GatewayError()
    if isinstance(error, errors.HostFault):
        _log.warning("%s: %s: %s", request.endpoint, error.code, error)
    return error


def _of_http_exception(error: HTTPException) -> Response | HTTPException:
    status = error.code or 500
    if status < 400:
        return error
    return _written({"code": status, "message": error.description or error.name}, status)


def _written(said: dict[str, object], status: int) -> Response:
    return Response(orjson.dumps(said), status, content_type="application/json")
