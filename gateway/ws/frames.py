"""What the frames say: from text to requests, from results to text, and RFC 6455's framing."""

from __future__ import annotations

import struct
import uuid

import orjson
from pydantic import BaseModel, ValidationError

from gateway.errors import BadRequest
from gateway.models import CommandRequest

TEXT = 0x1
PING = 0x9

LONGEST_REQUEST_ID = 256


class UnreadableRequest(BadRequest):
    """A frame that is no valid request. `request_id` is set where one could be read."""

    def __init__(self, detail: str, request_id: str | None = None) -> None:
        super().__init__(detail)
        self.request_id = request_id


def parse_request(message: str | bytes) -> tuple[str, CommandRequest]:
    """(request_id, request) of one frame; the id is generated when the client gave none.

    Raises UnreadableRequest.
    """
    if isinstance(message, bytes):
        raise UnreadableRequest("requests are text frames")
    try:
        request = CommandRequest.model_validate_json(message)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        detail = f"{where}: {first['msg']}" if where else first["msg"]
        raise UnreadableRequest(detail, _request_id_in(message)) from None
    return request.request_id or str(uuid.uuid4()), request


def _request_id_in(message: str) -> str | None:
    try:
        read = orjson.loads(message)
    except ValueError:
        return None
    request_id = read.get("request_id") if isinstance(read, dict) else None
    if isinstance(request_id, str) and len(request_id) <= LONGEST_REQUEST_ID:
        return request_id
    return None


def encode_message(message: BaseModel) -> bytes:
    """A message as UTF-8 JSON. What is None is left out: it is not part of the message."""
    fields = {name: value for name, value in message if value is not None}
    return orjson.dumps(fields, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(f"not a message: {type(value).__name__}")


def frame_header(opcode: int, length: int) -> bytes:
    """The header of one unfragmented, unmasked frame (RFC 6455, section 5.2)."""
    first = 0x80 | opcode
    if length < 126:
        return struct.pack("!BB", first, length)
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)
