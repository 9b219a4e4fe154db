"""Server-sent events (HTML standard, section 9.2), from bytes as they come."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..api_error import SandboxGatewayError

LONGEST_EVENT_BYTES = 64 * 1024 * 1024
"""A result with both outputs at their largest is 43 MiB as base64."""


@dataclass(frozen=True)
class ServerSentEvent:
    """`id` is that of the last event that had one."""

    event: str
    data: bytes
    id: str


class EventStreamTooLong(SandboxGatewayError):
    """What came is no stream of events."""


class EventDecoder:
    """Cuts a stream into events. What is after the last empty line stays for the next bytes."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._held = 0
        self._tail = b""
        self._id = ""

    def feed(self, data: bytes) -> Iterator[ServerSentEvent]:
        """The events that are whole now. Raises EventStreamTooLong."""
        joined = self._tail + data
        if b"\n\n" not in joined:
            self._keep(data)
            return
        text = b"".join([*self._pieces, data])
        *whole, rest = text.split(b"\n\n")
        self._pieces, self._held, self._tail = [], 0, b""
        self._keep(rest)
        for block in whole:
            event = self._event(block)
            if event is not None:
                yield event

    def _keep(self, data: bytes) -> None:
        self._pieces.append(data)
        self._held += len(data)
        self._tail = data[-1:] if data else self._tail
        if self._held > LONGEST_EVENT_BYTES:
            raise EventStreamTooLong(f"an event of more than {LONGEST_EVENT_BYTES} bytes")

    def _event(self, block: bytes) -> ServerSentEvent | None:
        name, data = "message", []
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            value = value[1:] if value.startswith(b" ") else value
            if field == b"event":
                name = value.decode("utf-8", "replace")
            elif field == b"data":
                data.append(value)
            elif field == b"id":
                self._id = value.decode("utf-8", "replace")
        return ServerSentEvent(name, b"\n".join(data), self._id) if data else None
