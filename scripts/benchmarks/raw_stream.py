"""A WebSocket client that only counts: a library's own work would be measured as the gateway's."""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import time
from urllib.parse import urlsplit

from .client import TIMEOUT_S, BenchmarkFailed

BUFFER = 1 << 20


class RawStream:
    """One connection, one streamed command at a time. Masks with zeros, checks no text."""

    def __init__(self, url: str, sandbox_id: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), TIMEOUT_S)
        self._file = self._socket.makefile("rb", buffering=BUFFER)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET /ws/{sandbox_id} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        ]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode())
        if b" 101 " not in self._file.readline():
            raise BenchmarkFailed("the gateway refused the WebSocket")
        while self._file.readline().strip():
            pass

    def time(self, command: str, encoding: str) -> float:
        """Seconds from the request of a streamed command to its result. Raises BenchmarkFailed."""
        request = {
            "command": command,
            "stream": True,
            "encoding": encoding,
            "max_output_bytes": 0,
        }
        started = time.perf_counter()
        self._send(json.dumps(request).encode())
        while True:
            frame = self._receive()
            if not frame.startswith((b'{"type":"stdout"', b'{"type":"started"')):
                break
        duration = time.perf_counter() - started
        if json.loads(frame).get("returncode") != 0:
            raise BenchmarkFailed(f"{command} was answered by {frame[:500]!r}")
        return duration

    def _send(self, payload: bytes) -> None:
        length = bytes([0x80 | len(payload)])
        if len(payload) > 125:
            length = struct.pack("!BH", 0x80 | 126, len(payload))
        self._socket.sendall(b"\x81" + length + b"\0\0\0\0" + payload)

    def _receive(self) -> bytes:
        length = self._file.read(2)[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._file.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._file.read(8))
        return self._file.read(length)

    def close(self) -> None:
        """Close the connection; the sandbox stays."""
        self._file.close()
        self._socket.close()
