"""Server-sent events as a browser reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import requests

from tests.support.gateway_process import GatewayProcess


@dataclass
class Event:
    kind: str
    id: str | None
    message: dict[str, Any]


class EventStream:
    """An answer that is an event stream. `last_id` is what a browser would come back with."""

    def __init__(self, gateway: GatewayProcess, method: str, path: str, **options: Any) -> None:
        headers = {"Accept": "text/event-stream", **options.pop("headers", {})}
        self.answer = gateway.request(method, path, headers=headers, stream=True, **options)
        self.last_id: str | None = None
        self.comments = 0

    def __enter__(self) -> EventStream:
        assert self.answer.status_code == 200, self.answer.text
        assert self.answer.headers["Content-Type"] == "text/event-stream"
        return self

    def __exit__(self, *_: object) -> None:
        self.answer.close()

    def __iter__(self) -> Iterator[Event]:
        """Each event as it comes, to the end of the stream."""
        fields: dict[str, str] = {}
        for line in _lines(self.answer):
            if line.startswith(":"):
                self.comments += 1
            elif line:
                name, _, value = line.partition(": ")
                assert name not in fields, line[:100]
                fields[name] = value
            elif fields:
                event = Event(fields["event"], fields.get("id"), json.loads(fields["data"]))
                # Commands tell a `type`, sandboxes an `event`.
                assert event.message.get("type", event.message.get("event")) == event.kind
                self.last_id = event.id or self.last_id
                fields = {}
                yield event
        assert not fields, "the stream ended in the middle of an event"


def _lines(answer: requests.Response) -> Iterator[str]:
    """By line feeds alone: JSON may hold the other characters that Python takes for line ends."""
    rest = b""
    for piece in answer.iter_content(None):
        *lines, rest = (rest + piece).split(b"\n") if b"\n" in piece else [rest + piece]
        for line in lines:
            yield line.decode()
    assert not rest
