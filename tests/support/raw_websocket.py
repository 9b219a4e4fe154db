"""A WebSocket client that can break the rules: frames byte by byte (RFC 6455, section 5.2)."""

from __future__ import annotations

import base64
import os
import socket
import struct
import time
from types import TracebackType

from tests.support.gateway_process import GatewayProcess

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """One frame. `reserved` are the three reserved bits, as a number from 0 to 7."""
    first = (0x80 if fin else 0) | reserved << 4 | opcode
    mask_bit = 0x80 if masked else 0
    length = len(payload)
    if length < 126:
        header = struct.pack("!BB", first, mask_bit | length)
    elif length < 1 << 16:
        header = struct.pack("!BBH", first, mask_bit | 126, length)
    else:
        header = struct.pack("!BBQ", first, mask_bit | 127, length)
    if not masked:
        return header + payload
    # A mask of zeros is a mask: the payload goes out as it is.
    return header + b"\0\0\0\0" + payload


class RawWebSocket:
    """An open connection on a plain socket. Answers no ping unless told to."""

    def __init__(
        self, gateway: GatewayProcess, sandbox_id: str, *, receive_buffer: int | None = None
    ) -> None:
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._received = b""
        _open.add(self)
        try:
            self._shake_hands(gateway, sandbox_id)
        except BaseException:
            self.close()
            raise

    def _shake_hands(self, gateway: GatewayProcess, sandbox_id: str) -> None:
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", gateway.port))
        key = base64.b64encode(os.urandom(16)).decode()
        own = "".join(f"{name}: {value}\r\n" for name, value in gateway.headers.items())
        self.socket.sendall(
            f"GET /ws/{sandbox_id} HTTP/1.1\r\nHost: 127.0.0.1:{gateway.port}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
            f"Sec-WebSocket-Version: 13\r\n{own}\r\n".encode()
        )
        head = self._until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101"), head

    def send(self, opcode: int, payload: bytes = b"") -> None:
        """One well-formed frame."""
        self.socket.sendall(frame(opcode, payload))

    def receive(self, within_s: float = 30) -> tuple[int, bytes] | None:
        """(opcode, payload) of the next frame, pings included; None at the end of the stream.

        Raises TimeoutError, and ConnectionResetError when the peer has reset the connection.
        """
        deadline = time.monotonic() + within_s
        first, second = self._exactly(2, deadline) or (None, None)
        if first is None or second is None:
            return None
        assert first & 0x70 == 0, "reserved bits are set"
        assert second & 0x80 == 0, "a server's frame must not be masked"
        length = second & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self._exactly(2, deadline))
        elif length == 127:
            (length,) = struct.unpack("!Q", self._exactly(8, deadline))
        return first & 0x0F, self._exactly(length, deadline)

    def close_code(self, within_s: float = 30) -> int | None:
        """Read to the close frame; its code, or None when the stream ends without one."""
        deadline = time.monotonic() + within_s
        while True:
            received = self.receive(deadline - time.monotonic())
            if received is None:
                return None
            opcode, payload = received
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None

    def _exactly(self, size: int, deadline: float) -> bytes:
        while len(self._received) < size:
            piece = self._some(deadline)
            if not piece:
                return b""
            self._received += piece
        taken, self._received = self._received[:size], self._received[size:]
        return taken

    def _until(self, end: bytes) -> bytes:
        deadline = time.monotonic() + 30
        while end not in self._received:
            piece = self._some(deadline)
            assert piece, self._received
            self._received += piece
        head, self._received = self._received.split(end, 1)
        return head

    def _some(self, deadline: float) -> bytes:
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        return self.socket.recv(1 << 20)

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self) -> None:
        """May be repeated."""
        _open.discard(self)
        self.socket.close()

    def __enter__(self) -> RawWebSocket:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.close()


_open: set[RawWebSocket] = set()


def close_all() -> None:
    """Close the connections that are still open."""
    for raw in list(_open):
        raw.close()
