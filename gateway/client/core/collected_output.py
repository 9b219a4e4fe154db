"""What a command wrote, held in memory up to a bound."""

from __future__ import annotations

from ..models.commands import CommandEvent, OutputGap, OutputPiece

MOST_OUTPUT_BYTES = 64 * 1024 * 1024
"""Of each stream, unless the caller says otherwise. Beyond, beginning and end are kept."""


class _Stream:
    def __init__(self, most_bytes: int) -> None:
        self._head_room = most_bytes // 2
        self._tail_room = most_bytes - self._head_room
        self._head = bytearray()
        self._tail = bytearray()
        self.left_out = 0

    def add(self, data: bytes) -> None:
        free = self._head_room - len(self._head)
        if free > 0 and not self._tail:
            self._head += data[:free]
            data = data[free:]
        self._tail += data
        # Seldom, so that a long stream is not moved again for each piece.
        if len(self._tail) > 2 * self._tail_room + 65536:
            self._trim()

    def _trim(self) -> None:
        too_many = len(self._tail) - self._tail_room
        if too_many > 0:
            del self._tail[:too_many]
            self.left_out += too_many

    def value(self) -> bytes:
        self._trim()
        return bytes(self._head) + bytes(self._tail)


class CollectedOutput:
    """Both streams of a command, and what of them is missing."""

    def __init__(self, most_bytes: int = MOST_OUTPUT_BYTES) -> None:
        self._streams = {"stdout": _Stream(most_bytes), "stderr": _Stream(most_bytes)}
        self._gaps: list[OutputGap] = []

    def add(self, event: CommandEvent) -> None:
        """Take in what a command has told."""
        if isinstance(event, OutputPiece):
            self._streams[event.stream].add(event.data)
        elif isinstance(event, OutputGap):
            self._gaps.append(event)

    def value(self, stream: str) -> bytes:
        """What is held of `stdout` or `stderr`."""
        return self._streams[stream].value()

    @property
    def gaps(self) -> tuple[OutputGap, ...]:
        """What was not kept in the sandbox."""
        return tuple(self._gaps)

    @property
    def left_out_bytes(self) -> dict[str, int]:
        """By stream: bytes in the middle that were more than the bound."""
        for stream in self._streams.values():
            stream.value()
        return {name: stream.left_out for name, stream in self._streams.items()}
