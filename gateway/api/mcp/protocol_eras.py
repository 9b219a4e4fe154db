"""Which revision of the protocol a message speaks, and whether its headers agree with it.

Since 2026-07-28 each request says all about itself, in `_meta`, and the transport mirrors it into
headers, so that what stands between may route by them: they must say the same. Before, a client
asked with `initialize` first. There is no session here: what `initialize` has said is not looked at
again, so that any worker may answer.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.jsonrpc import UNSUPPORTED_PROTOCOL_VERSION
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from gateway.api.mcp.rpc_errors import RpcError, header_mismatch, invalid_params

VERSIONS = (*reversed(MODERN_PROTOCOL_VERSIONS), *reversed(HANDSHAKE_PROTOCOL_VERSIONS))
"""All that are spoken, newest first."""

BEFORE_THE_HEADER = "2025-03-26"
"""Meant by who sends no version: clients of then, and of before, know no header for it."""

BATCHING = ("2024-11-05", "2025-03-26")
"""Revisions in which a body may have several messages."""

VERSION_HEADER = "MCP-Protocol-Version"
METHOD_HEADER = "Mcp-Method"
NAME_HEADER = "Mcp-Name"

_NAMED = {"tools/call": "name", "prompts/get": "name", "resources/read": "uri"}
_ENCODED = re.compile(r"=\?base64\?(?P<payload>.*)\?=")
_LONGEST_ECHO = 40


def is_modern(version_header: str | None, body: Any) -> bool:
    """Whether a message is to be taken by the rules of 2026-07-28. Raises RpcError for a revision
    that is not spoken."""
    said = _said_by(body)
    if version_header is None:
        return said is not None
    if version_header in MODERN_PROTOCOL_VERSIONS or said is not None:
        return True
    if version_header in HANDSHAKE_PROTOCOL_VERSIONS:
        return False
    raise unsupported(version_header)


def check(method: str, params: Mapping[str, Any], headers: Mapping[str, list[str]]) -> None:
    """Raises RpcError unless a request of 2026-07-28 says what it must, and its headers agree.

    `headers` are all values of each of the three.
    """
    meta = params.get("_meta")
    wanted = (PROTOCOL_VERSION_META_KEY, CLIENT_CAPABILITIES_META_KEY)
    missing = [key for key in wanted if not isinstance(meta, Mapping) or key not in meta]
    if missing:
        raise invalid_params(f"params._meta lacks {' and '.join(missing)}")
    assert isinstance(meta, Mapping)
    version = meta[PROTOCOL_VERSION_META_KEY]
    if not isinstance(version, str) or not isinstance(meta[CLIENT_CAPABILITIES_META_KEY], Mapping):
        raise invalid_params("params._meta: the version is a string, capabilities are an object")
    _agrees(VERSION_HEADER, headers, version)
    _agrees(METHOD_HEADER, headers, method)
    if method in _NAMED:
        name = params.get(_NAMED[method])
        if isinstance(name, str):
            _agrees(NAME_HEADER, headers, name)
    if version not in MODERN_PROTOCOL_VERSIONS:
        raise unsupported(version)


def negotiated(asked: object) -> str:
    """What `initialize` is answered with: the revision that is asked for, or the newest one that
    has an `initialize`."""
    known = HANDSHAKE_PROTOCOL_VERSIONS
    return str(asked) if asked in known else known[-1]


def unsupported(version: str) -> RpcError:
    """The refusal of a revision, with those that are spoken."""
    return RpcError(
        UNSUPPORTED_PROTOCOL_VERSION,
        "Unsupported protocol version",
        {"supported": list(VERSIONS), "requested": version[:_LONGEST_ECHO]},
    )


def _said_by(body: Any) -> str | None:
    """The revision in `_meta`, where there is one."""
    try:
        said = body["params"]["_meta"][PROTOCOL_VERSION_META_KEY]
    except (KeyError, TypeError):
        return None
    return str(said)


def _agrees(header: str, headers: Mapping[str, list[str]], value: str) -> None:
    given = headers.get(header, [])
    if len(given) != 1:
        raise header_mismatch(f"{header} must be sent once, with the value of the body")
    if (_decoded(given[0]) if header == NAME_HEADER else given[0]) != value:
        raise header_mismatch(f"{header} does not say what the body does")


def _decoded(value: str) -> str | None:
    """A value that may be written in base64; None where that is broken."""
    found = _ENCODED.fullmatch(value)
    if found is None:
        return value
    try:
        raw = base64.b64decode(found["payload"], validate=True)
        same = base64.b64encode(raw).decode("ascii") == found["payload"]
        return raw.decode("utf-8") if same else None
    except (binascii.Error, UnicodeDecodeError):
        return None
