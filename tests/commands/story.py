"""What a client learns of one streamed command, put together and checked as it comes."""

from __future__ import annotations

import base64
import time
from typing import Any

import psutil

from tests.support.clients import Connection, Refused, connect
from tests.support.gateway_process import GatewayProcess

STREAMS = ("stdout", "stderr")


class Story:
    """Takes a command's messages and refuses a byte that comes twice, or is left out silently.

    `bytes_of` holds what came; `gaps` what was reported as lost; `result` the last message.
    """

    def __init__(self, request_id: str, encoding: str = "utf-8") -> None:
        self.request_id = request_id
        self.started: dict[str, Any] | None = None
        self.result: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.kinds: list[str] = []
        self.gaps: list[tuple[str, int, int]] = []
        self.bytes_of = {stream: bytearray() for stream in STREAMS}
        self.next = dict.fromkeys(STREAMS, 0)
        self._encoding = encoding

    @property
    def stdout(self) -> bytes:
        return bytes(self.bytes_of["stdout"])

    @property
    def stderr(self) -> bytes:
        return bytes(self.bytes_of["stderr"])

    @property
    def over(self) -> bool:
        return self.result is not None or self.error is not None

    def take(self, message: dict[str, Any]) -> None:
        """The next message. Raises AssertionError when it does not follow on what came before."""
        assert message.get("request_id") == self.request_id, message
        assert not self.over, f"after the end: {message}"
        kind = message["type"]
        self.kinds.append(kind)
        if kind == "started":
            self.started = message
        elif kind in STREAMS:
            assert message["offset"] == self.next[kind], (message["offset"], self.next[kind])
            assert set(message) == {"type", "request_id", "offset", "data"}
            data = self._raw(message["data"])
            self.bytes_of[kind] += data
            self.next[kind] += len(data)
        elif kind == "gap":
            stream = message["stream"]
            assert message["from"] == self.next[stream], (message, self.next)
            assert message["to"] > message["from"], message
            self.gaps.append((stream, message["from"], message["to"]))
            self.next[stream] = message["to"]
        elif kind == "error":
            self.error = message
        else:
            assert kind == "result", message
            self.result = message

    def _raw(self, data: str) -> bytes:
        return (
            base64.b64decode(data, validate=True) if self._encoding == "base64" else data.encode()
        )

    def read(self, connection: Connection, within_s: float = 60) -> Story:
        """Take all that comes on a connection of which this is the only command, to its end."""
        while not self.over:
            self.take(connection.receive(within_s))
        return self

    def attach(self, connection: Connection, within_s: float = 60, **fields: Any) -> Story:
        """Ask for the rest, from the offsets held, and read it to its end."""
        ask_for_rest(connection, self, **fields)
        return self.read(connection, within_s)


def streamed(
    connection: Connection, command: str, request_id: str, within_s: float = 60, **fields: Any
) -> Story:
    """Run a command with `stream` and take its whole story."""
    connection.ask(command, request_id=request_id, stream=True, **fields)
    return Story(request_id, fields.get("encoding", "utf-8")).read(connection, within_s)


def ask_for_rest(connection: Connection, story: Story, **fields: Any) -> None:
    """Send `attach` with the offsets that a story holds."""
    connection.send(
        {
            "type": "attach",
            "request_id": story.request_id,
            "stdout": story.next["stdout"],
            "stderr": story.next["stderr"],
            **fields,
        }
    )


def connected_to(gateway: GatewayProcess, sandbox_id: str, worker: psutil.Process) -> Connection:
    """A connection that this worker serves.

    The others are stopped meanwhile, and one that happens to be stopped within a transaction keeps
    the store locked: then it is tried again.
    """
    for _ in range(3):
        try:
            with gateway.only(worker):
                return connect(gateway, sandbox_id)
        except Refused as refused:
            if refused.status != 503:
                raise
            time.sleep(0.2)
    raise AssertionError("the store stays locked")
