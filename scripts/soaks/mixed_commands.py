"""Commands of every kind, as clients send them all day: mostly small, now and then large."""

from __future__ import annotations

import json
import random
from typing import Any

import websocket

from .caller import Caller

LARGEST_OUTPUT = 3_000_000
LARGEST_INPUT = 100_000


class Mixture:
    """The same commands in the same order for the same `seed`."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)

    def run_one(self, caller: Caller, sandbox_id: str, connection: websocket.WebSocket) -> None:
        """Run one command, over REST or `connection`. Raises ValueError for a wrong answer."""
        wanted, request = self._next()
        if self._chance.random() < 0.1:
            answer = caller.ask("POST", f"/sandboxes/{sandbox_id}/commands", json=request)
            answer.raise_for_status()
            result = answer.json()
        else:
            connection.send(json.dumps(request))
            result = _result(connection)
        if result["returncode"] != 0 or len(result["output"]) != wanted:
            raise ValueError(f"{request!s:.100} was answered by {result!s:.200}")

    def _next(self) -> tuple[int, dict[str, Any]]:
        """The length of the output, and a request."""
        kind, size = self._chance.random(), self._chance.randrange(1, LARGEST_OUTPUT)
        if kind < 0.03:
            return size, {"command": f"head -c {size} /dev/zero | tr '\\0' x"}
        if kind < 0.06:
            return size, {"command": f"head -c {size} /dev/zero | tr '\\0' x", "session": "s"}
        if kind < 0.1:
            text = "x" * (size % LARGEST_INPUT)
            return len(text), {"command": "cat", "stdin": text}
        if kind < 0.2:
            return 2, {"command": "echo 1", "session": "s"}
        if kind < 0.25:
            key = f"{self._chance.getrandbits(128):x}"
            return 2, {"command": "echo 1", "once": True, "request_id": key}
        return 2, {"command": "echo 1"}


def _result(connection: websocket.WebSocket) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(connection.recv())
        if "returncode" in message:
            return message
        if message.get("type") == "error":
            raise ValueError(f"{message!s:.200}")
