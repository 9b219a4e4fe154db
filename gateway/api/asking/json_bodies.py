"""Reading JSON bodies strictly: what is ambiguous is refused, not guessed."""

from __future__ import annotations

from typing import TypeVar

import gevent
from flask import request
from pydantic import BaseModel, ValidationError

from gateway.errors import BadFields, BadMediaType, BadRequest, BodyTimeout
from gateway.schemas import strict_json
from gateway.schemas.json_in_threads import read_aside
from gateway.schemas.models.base import MOST_ERRORS

Body = TypeVar("Body", bound=BaseModel)

WITHIN_S = 20.0
"""Time a body may take. gunicorn's gevent worker sets no limit of its own to it."""

_LONGEST_NAME = 100
_LONGEST_TYPE = 256


def read_json(model: type[Body]) -> Body:
    """The body of the current request, read strictly: `"5"` is no number. Empty counts as `{}`.

    Raises BadMediaType, BadRequest (no UTF-8, no JSON, or JSON outside of I-JSON, RFC 7493:
    duplicate names, lone surrogates), BadFields, BodyTimeout, and werkzeug's
    RequestEntityTooLarge beyond the application's MAX_CONTENT_LENGTH.
    """
    length = request.content_length
    if length and length <= (request.max_content_length or length):
        _check_type()  # by the head alone: the client may still be waiting to be asked for it
    raw = _received()
    if not raw:
        return _validated(model, b"{}")
    _check_type()
    return read_aside(raw, lambda: _checked(model, raw))


def _check_type() -> None:
    coding = request.headers.get("Content-Encoding", "").strip().lower()
    if coding not in ("", "identity"):
        raise BadMediaType(f"a body in the coding {coding[:_LONGEST_NAME]} is not unpacked")
    # Parameters cost: a header of 8 KiB of them, 8 ms.
    if len(request.headers.get("Content-Type", "")) > _LONGEST_TYPE or not request.is_json:
        raise BadMediaType(f"not {_type_named() or 'a body without a type'}")


def _type_named() -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()[:_LONGEST_NAME]


def _checked(model: type[Body], raw: bytes) -> Body:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"the body is not UTF-8 (byte {error.start})") from None
    strict_json.read(text)
    return _validated(model, raw)


def _received() -> bytes:
    with gevent.Timeout(WITHIN_S, BodyTimeout(f"not complete after {WITHIN_S:g} s")):
        raw = request.get_data(cache=False)
        # werkzeug cuts a chunked body at the limit in silence; only the next read raises.
        request.stream.read(1)
    if request.content_length not in (None, len(raw)):
        raise BadRequest("the body is shorter than its Content-Length")
    return raw


def _validated(model: type[Body], raw: bytes) -> Body:
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as refusal:
        raise refused(refusal) from None


def refused(refusal: ValidationError) -> BadFields:
    """What pydantic refuses, without the values themselves and in bounded length."""
    found = refusal.errors(include_url=False, include_context=False, include_input=False)
    errors = [
        {"loc": [_short(part) for part in e["loc"]], "msg": e["msg"], "type": e["type"]}
        for e in found[:MOST_ERRORS]
    ]
    # The models stop looking at the first few.
    number = f"at least {MOST_ERRORS}" if len(found) >= MOST_ERRORS else str(len(found))
    return BadFields(f"{number} of the values are refused", errors=errors)


def _short(part: int | str) -> int | str:
    return part if isinstance(part, int) else part[:_LONGEST_NAME]
