"""A channel of the process that serves files, whose gateway takes everything."""

from __future__ import annotations

import base64
import json
from typing import Any


class FakeChannel:
    """Notes what an operation says."""

    def __init__(self, *pieces: bytes) -> None:
        self.told: list[dict[str, Any]] = []
        self.sent: list[Any] = []
        self._pieces = [*pieces, b""]

    def tell(self, **event: Any) -> None:
        self.told.append(event)

    def check(self) -> None:
        """Somebody still waits."""

    def send_whole(self, data: bytes) -> None:
        self.sent += json.loads(data)

    def send(self, _data: bytes, end: bool = False) -> None:
        assert end

    def grant(self, _size: int, _count: int) -> None:
        """There is credit enough."""

    def receive(self) -> bytes:
        return self._pieces.pop(0)


def packed(path: object) -> str:
    """A path as messages carry it."""
    raw = path if isinstance(path, bytes) else str(path).encode()
    return base64.b64encode(raw).decode()
