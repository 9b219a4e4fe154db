"""Server-sent events, as a browser reads them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from werkzeug.test import TestResponse


@dataclass
class Event:
    kind: str
    id: str | None
    message: dict[str, Any]


def events_in(text: str) -> list[Event]:
    """As a browser would read it: comments are passed over, an event ends with an empty line."""
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            fields = dict(line.split(": ", 1) for line in lines)
            assert len(fields) == len(lines)
            found.append(Event(fields["event"], fields.get("id"), json.loads(fields["data"])))
    assert all(event.message["type"] == event.kind for event in found)
    return found


def said(response: TestResponse) -> list[tuple[str, str | None]]:
    assert response.status_code == 200, response.text
    assert response.content_type == "text/event-stream"
    return [(event.kind, event.id) for event in events_in(response.text)]
