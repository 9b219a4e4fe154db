"""Errors of the protocol: a message that cannot be understood or served. What tools cannot do is no
such error (`gateway.api.mcp.failures`)."""

from __future__ import annotations

from typing import Any

from mcp_types import ErrorData, JSONRPCError
from mcp_types.jsonrpc import (
    HEADER_MISMATCH,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    UNSUPPORTED_PROTOCOL_VERSION,
)

_STATUS = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    UNSUPPORTED_PROTOCOL_VERSION: 400,
    METHOD_NOT_FOUND: 404,
}
"""Of the transport of 2026-07-28. Before, whatever was understood is answered with 200."""

_ALWAYS = frozenset((PARSE_ERROR, INVALID_REQUEST, HEADER_MISMATCH, UNSUPPORTED_PROTOCOL_VERSION))


class RpcError(Exception):
    """Answered as a JSON-RPC error of this `code`."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.data = data

    def status(self, *, is_modern: bool) -> int:
        """The HTTP status of the answer."""
        if is_modern or self.code in _ALWAYS:
            return _STATUS.get(self.code, 500)
        return 200

    def message_to(self, request_id: int | str | None) -> dict[str, Any]:
        """The answer to the request of that id; None where it could not be read."""
        error = ErrorData(code=self.code, message=str(self), data=self.data)
        answer = JSONRPCError(jsonrpc="2.0", id=request_id, error=error)
        written = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
        return {"id": None, **written}


def parse_error(why: str) -> RpcError:
    return RpcError(PARSE_ERROR, f"Parse error: {why}")


def invalid_request(why: str) -> RpcError:
    return RpcError(INVALID_REQUEST, f"Invalid request: {why}")


def invalid_params(why: str) -> RpcError:
    return RpcError(INVALID_PARAMS, f"Invalid params: {why}")


def header_mismatch(why: str) -> RpcError:
    return RpcError(HEADER_MISMATCH, f"Header mismatch: {why}")


def no_method(method: str) -> RpcError:
    return RpcError(METHOD_NOT_FOUND, f"Method not found: {method[:100]}")
