"""What clients' frames say: from text to requests; and RFC 6455's framing."""

from __future__ import annotations

import struct

import orjson
from pydantic import ValidationError

from gateway.errors import BadRequest
from gateway.schemas import strict_json
from gateway.schemas.models import (
    AttachMessage,
    CommandRequest,
    ListMessage,
    PingMessage,
    ResizeMessage,
    SignalMessage,
    StdinMessage,
)
from gateway.schemas.strict_json import NameTwice

TEXT = 0x1
BINARY = 0x2
PING = 0x9

LONGEST_REQUEST_ID = 256


class UnreadableRequest(BadRequest):
    """A frame that is no valid request. `request_id` is set where one could be read."""

    def __init__(self, detail: str, request_id: str | None = None) -> None:
        super().__init__(detail)
        self.request_id = request_id


Message = (
    CommandRequest
    | StdinMessage
    | SignalMessage
    | ResizeMessage
    | AttachMessage
    | ListMessage
    | PingMessage
)

_BY_TYPE: dict[str, type[Message]] = {
    "stdin": StdinMessage,
    "signal": SignalMessage,
    "resize": ResizeMessage,
    "attach": AttachMessage,
    "list": ListMessage,
    "ping": PingMessage,
}


def parse_message(frame: str | bytes) -> Message:
    """What a client's frame asks for: by its `type`, or else to run a command.

    Raises UnreadableRequest.
    """
    if isinstance(frame, bytes):
        raise UnreadableRequest("requests are text frames")
    try:
        value = strict_json.read(frame)
    except NameTwice as error:
        # With two of them there is none to answer to.
        request_id = (
            None if error.name in ("", "request_id") else _request_id_in(orjson.loads(frame))
        )
        raise UnreadableRequest(error.detail, request_id) from None
    except BadRequest as error:
        raise UnreadableRequest(error.detail) from None
    kind = _type_in(value)
    model = CommandRequest if kind is None else _BY_TYPE.get(kind)
    if model is None:
        raise UnreadableRequest(f"type: no such type: {kind:.40}", _request_id_in(value))
    return _validated(model, frame, value)


def _validated(model: type[Message], frame: str, value: object) -> Message:
    try:
        return model.model_validate_json(frame, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        detail = f"{where}: {first['msg']}" if where else first["msg"]
        raise UnreadableRequest(detail, _request_id_in(value)) from None


def _type_in(value: object) -> str | None:
    kind = value.get("type") if isinstance(value, dict) else None
    return kind if kind is None or isinstance(kind, str) else str(kind)


def _request_id_in(value: object) -> str | None:
    request_id = value.get("request_id") if isinstance(value, dict) else None
    if isinstance(request_id, str) and len(request_id) <= LONGEST_REQUEST_ID:
        return request_id
    return None


def frame_header(opcode: int, length: int) -> bytes:
    """The header of one unfragmented, unmasked frame (RFC 6455, section 5.2)."""
    first = 0x80 | opcode
    if length < 126:
        return struct.pack("!BB", first, length)
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length)
    return struct.pack("!BBQ", first, 127, length)
