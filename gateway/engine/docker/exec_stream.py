"""The connection that Docker hands over when an exec starts, read without losing a byte.

After its 101 answer the engine speaks a framing of its own: 8 bytes of header (stream, three
zeros, length u32) before each piece ("Attach to a container", Engine API). The docker SDK reads
the answer's head through a buffered reader and its own socket helpers then bypass that buffer, so
the first frames are lost when they arrive with the head (docker-py #425, #3332). This module
reads from that very buffer.
"""

from __future__ import annotations

import socket as sockets
import struct
from typing import Any

from gateway.engine.interface import ExecOutput
from gateway.errors import EngineUnavailable
from gateway.process.giving_way import Turn

_HEADER = struct.Struct("!BxxxI")
READ_BYTES = 64 * 1024
STDERR_KEPT = 4096


class HijackedStream:
    """Owns the connection behind what `exec_start(socket=True)` returned."""

    def __init__(self, exec_socket: Any) -> None:
        self._response = exec_socket._response
        self._reader = self._response.raw._fp.fp
        self._socket = exec_socket._sock
        # The client's time limit for API calls would end a quiet process.
        self._socket.settimeout(None)
        self._buffer = bytearray()
        self._stderr = bytearray()
        self._closed = False
        self._reading = False
        self._turn = Turn()

    def pieces(self) -> list[ExecOutput]:
        """The pieces that the next read brings, [] at the end of the stream."""
        while True:
            received = self._read()
            if not received:
                return []
            self._turn.begins()
            self._buffer += received
            pieces = self._take_pieces()
            self._turn.took(len(received))
            if pieces:
                return pieces

    def _read(self) -> bytes:
        if self._is_closed():
            return b""
        self._reading = True
        try:
            received: bytes = self._reader.read1(READ_BYTES)
        except OSError:
            received = b""
        finally:
            self._reading = False
        if self._is_closed():  # meanwhile, by another greenlet
            self._response.close()
            return b""
        return received

    def _is_closed(self) -> bool:
        return self._closed

    def _take_pieces(self) -> list[ExecOutput]:
        buffer = self._buffer
        pieces: list[ExecOutput] = []
        at = 0
        while len(buffer) - at >= _HEADER.size:
            stream, length = _HEADER.unpack_from(buffer, at)
            end = at + _HEADER.size + length
            if end > len(buffer):
                break
            pieces.append(ExecOutput(stream, bytes(buffer[at + _HEADER.size : end])))
            at = end
        del buffer[:at]
        return pieces

    def receive(self) -> bytes:
        """See `ExecStream.receive`."""
        while pieces := self.pieces():
            stdout = b"".join(piece.data for piece in pieces if piece.stream == 1)
            for piece in pieces:
                if piece.stream != 1:
                    self._stderr += piece.data
                    del self._stderr[:-STDERR_KEPT]
            if stdout:
                return stdout
        return b""

    def send(self, data: bytes) -> None:
        """See `ExecStream.send`."""
        try:
            self._socket.sendall(data)
        except (OSError, ValueError) as error:
            raise EngineUnavailable(f"the exec stream broke: {error}") from error

    def error_text(self) -> str:
        """See `ExecStream.error_text`."""
        return self._stderr.decode("utf-8", "replace").strip()

    def close(self) -> None:
        """See `ExecStream.close`.

        Only closing the response frees the descriptor at once (docker-py #2766), and its buffered
        reader must not be closed under a greenlet that reads from it: such a one is woken by the
        shutdown and closes the response itself.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._socket.shutdown(sockets.SHUT_RDWR)
        except OSError:
            pass  # the engine was first
        if not self._reading:
            self._response.close()
