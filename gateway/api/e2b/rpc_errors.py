"""Errors of remote procedure calls: Connect's codes, and which of the gateway's errors has which.

The statuses are Connect's (connectrpc.com, Protocol, Error Codes). A client that gets no code of
these makes one of the status.
"""

from __future__ import annotations

from gunicorn.http.errors import NoMoreData, ParseException

from gateway import errors
from gateway.errors import GatewayError
from gateway.logs.line_budget import bounded_log
from gateway.middleware.problem_documents import public_detail

_log = bounded_log(__name__)

STATUS = {
    "canceled": 499,
    "unknown": 500,
    "invalid_argument": 400,
    "deadline_exceeded": 504,
    "not_found": 404,
    "already_exists": 409,
    "permission_denied": 403,
    "resource_exhausted": 429,
    "failed_precondition": 400,
    "aborted": 409,
    "out_of_range": 400,
    "unimplemented": 501,
    "internal": 500,
    "unavailable": 503,
    "data_loss": 500,
    "unauthenticated": 401,
}

SANDBOX_NOT_FOUND = "The sandbox was not found"
SANDBOX_ENDED = "the sandbox was killed or reached its end of life"
"""Clients look for both in the text."""

TIME_IS_UP = "context deadline exceeded"

_CODES: dict[type[GatewayError], str] = {
    errors.ClientFault: "invalid_argument",
    errors.SandboxNotFound: "unavailable",
    errors.SandboxBusy: "unavailable",
    errors.Unauthorized: "unauthenticated",
    errors.TokenNotEnough: "permission_denied",
    errors.UserUnavailable: "unauthenticated",
    errors.CommandNotFound: "not_found",
    errors.CommandFinished: "not_found",
    errors.StdinNotOpen: "failed_precondition",
    errors.StdinFull: "resource_exhausted",
    errors.TerminalMissing: "failed_precondition",
    errors.FeatureMissing: "unimplemented",
    errors.AddressNotFound: "unimplemented",
    errors.BodyTimeout: "deadline_exceeded",
    errors.BodyTooLarge: "resource_exhausted",
    errors.RateLimited: "resource_exhausted",
    errors.TooManyCommands: "resource_exhausted",
    errors.TooManyStreams: "resource_exhausted",
    errors.TooManyWatches: "resource_exhausted",
    errors.TooManyConnections: "resource_exhausted",
    errors.TooMuchQueued: "resource_exhausted",
    errors.TooMuchUnread: "resource_exhausted",
    errors.PathNotFound: "not_found",
    errors.WatchNotFound: "not_found",
    errors.AlreadyExists: "already_exists",
    errors.PermissionDenied: "permission_denied",
    errors.FileFault: "internal",
    errors.NoSpace: "resource_exhausted",
    errors.HostFault: "unavailable",
    errors.SandboxFault: "unavailable",
    errors.CommandLost: "aborted",
}
"""The class that is nearest among the bases of an error counts."""


class RpcError(Exception):
    """What a call is answered with in the place of a result."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        return STATUS[self.code]

    @property
    def said(self) -> dict[str, str]:
        """As clients read it."""
        return {"code": self.code, "message": self.message}


def rpc_error_of(error: Exception) -> RpcError:
    """What clients are told of an error. What nobody has foreseen, and what the host is at fault
    for, is logged."""
    if isinstance(error, RpcError):
        return error
    if isinstance(error, ParseException):  # gunicorn parses chunks while the body is read
        return RpcError("invalid_argument", "the framing of the body is broken")
    if isinstance(error, NoMoreData):
        return RpcError("canceled", "the request was cut off")
    code = None
    if isinstance(error, GatewayError):
        code = next((_CODES[c] for c in type(error).__mro__ if c in _CODES), None)
    if code is None or not isinstance(error, GatewayError):
        _log.error("a call failed unexpectedly", exc_info=error)
        return RpcError("internal", GatewayError().title)
    if isinstance(error, errors.SandboxNotFound):
        return RpcError(code, SANDBOX_NOT_FOUND)
    if isinstance(error, errors.HostFault | errors.SandboxFault):
        _log.warning("%s: %s", error.code, error)
    return RpcError(code, public_detail(error))
