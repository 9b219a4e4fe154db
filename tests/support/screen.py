"""A viewer of a terminal."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from tests.support.gateway_process import GatewayProcess
from tests.support.raw_websocket import BINARY, CLOSE, PING, PONG, TEXT, RawWebSocket


class Screen:
    """A viewer of `/ws/{id}/terminal`: what it was sent, as bytes and as messages."""

    def __init__(self, gateway: GatewayProcess, sandbox: str, query: str = "") -> None:
        self._socket = RawWebSocket(gateway, f"{sandbox}/terminal{query}")
        self.bytes = b""
        self.messages: list[dict] = []
        self.close_code: int | None = None

    def type(self, data: bytes) -> None:
        self._socket.send(BINARY, data)

    def resize(self, cols: int, rows: int) -> None:
        message = {"type": "resize", "cols": cols, "rows": rows}
        self._socket.send(TEXT, json.dumps(message).encode())

    def send_text(self, text: str) -> None:
        self._socket.send(TEXT, text.encode())

    def read_until(self, done: Callable[[], object], within_s: float = 15) -> None:
        """Take frames until `done`; AssertionError with the screen when that does not come."""
        deadline = time.monotonic() + within_s
        while not done():
            try:
                received = self._socket.receive(deadline - time.monotonic())
            except (TimeoutError, ValueError):
                received = None
            assert received is not None, (self.bytes[-2000:], self.messages)
            opcode, payload = received
            if opcode == BINARY:
                self.bytes += payload
            elif opcode == TEXT:
                self.messages.append(json.loads(payload))
            elif opcode == PING:
                self._socket.send(PONG, payload)
            else:
                assert opcode == CLOSE, opcode
                self.close_code = int.from_bytes(payload[:2], "big")

    def shows(self, text: bytes, within_s: float = 15) -> None:
        """Read until the text has come since the last `clear`."""
        self.read_until(lambda: text in self.bytes, within_s)

    def clear(self) -> None:
        self.bytes = b""

    def result(self) -> dict:
        self.read_until(lambda: self.messages)
        return self.messages[-1]

    def leave(self) -> None:
        self._socket.close()
