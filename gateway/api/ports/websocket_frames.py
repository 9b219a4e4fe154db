"""Where the frames of a WebSocket end that passes through (RFC 6455, section 5.2)."""

from __future__ import annotations

_CLOSE = 0x8
_EXTENDED = {126: 2, 127: 8}


class FrameEnds:
    """Follows one direction of a WebSocket. Looks at heads only, whatever extension there is."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._left = 0
        """Bytes that are missing of the frame's content."""
        self.is_closed = False
        """Whether a close frame has passed, after which nothing may follow."""

    @property
    def missing(self) -> int:
        """How many bytes may be read without going beyond the frame's end; 0 where it has ended."""
        if self._left or not self._head:
            return self._left
        return _size_of_head(self._head) - len(self._head)

    def passed(self, data: bytes | bytearray | memoryview) -> None:
        """These bytes come next."""
        at, size = 0, len(data)
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
            else:
                step = min(_size_of_head(self._head) - len(self._head), size - at)
                self._head += data[at : at + step]
                if len(self._head) == _size_of_head(self._head):
                    self._begin()
            at += step

    def _begin(self) -> None:
        head = bytes(self._head)
        self._head.clear()
        self.is_closed = self.is_closed or head[0] & 0x0F == _CLOSE
        length = head[1] & 0x7F
        if length in _EXTENDED:
            length = int.from_bytes(head[2 : 2 + _EXTENDED[length]], "big")
        self._left = length


def _size_of_head(known: bytearray) -> int:
    """As far as it can be told from what has come of it."""
    if len(known) < 2:
        return 2
    return 2 + _EXTENDED.get(known[1] & 0x7F, 0) + (4 if known[1] & 0x80 else 0)


def close_frame(code: int) -> bytes:
    """As a server sends it."""
    return bytes((0x80 | _CLOSE, 2)) + code.to_bytes(2, "big")
