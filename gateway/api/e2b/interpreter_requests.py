"""What clients ask the code interpreter for."""

from __future__ import annotations

from dataclasses import dataclass, field

import gevent
import orjson
from flask import request

from gateway.errors import BadRequest, BodyTimeout
from gateway.schemas.json_in_threads import read_aside

BODY_BYTES = 8 * 1024 * 1024
"""Of a request. Code is text, and seldom long."""

WITHIN_S = 20.0
"""Time that a body may take."""

MOST_VARIABLES = 1000


@dataclass(frozen=True)
class Execute:
    """Run code in one context, or in the default one of a language."""

    code: str
    context_id: str | None = None
    language: str | None = None
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Create:
    """Make a context."""

    language: str | None = None
    cwd: str | None = None


def execute() -> Execute:
    """Raises BadRequest, BodyTimeout, and werkzeug's RequestEntityTooLarge."""
    given = _body()
    code = _text(given, "code")
    if code is None:
        raise BadRequest("code: it is missing")
    wanted = Execute(code, _text(given, "context_id"), _text(given, "language"), _env(given))
    if wanted.context_id and wanted.language:
        raise BadRequest("Only one of context_id or language can be provided")
    return wanted


def create() -> Create:
    """Likewise."""
    given = _body()
    return Create(_text(given, "language"), _text(given, "cwd"))


def _body() -> dict[str, object]:
    request.max_content_length = BODY_BYTES
    with gevent.Timeout(WITHIN_S, BodyTimeout(f"not complete after {WITHIN_S:g} s")):
        raw = request.get_data(cache=False)
    try:
        given = read_aside(raw, lambda: orjson.loads(raw or b"{}"))
    except orjson.JSONDecodeError:
        raise BadRequest("the body is no JSON") from None
    if not isinstance(given, dict):
        raise BadRequest("the body is no object")
    return given


def _text(given: dict[str, object], name: str) -> str | None:
    value = given.get(name)
    if value is not None and not isinstance(value, str):
        raise BadRequest(f"{name}: it is no text")
    return value


def _env(given: dict[str, object]) -> dict[str, str]:
    found = given.get("env_vars") or {}
    if not isinstance(found, dict) or len(found) > MOST_VARIABLES:
        raise BadRequest("env_vars: it is no object, or too large")
    for name, value in found.items():
        if not isinstance(value, str) or "\0" in name + value or not name or "=" in name:
            raise BadRequest("env_vars: names and values are texts")
    return found
