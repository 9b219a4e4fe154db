"""What a command wrote to one stream, kept within bounds."""

import array
import fcntl
import termios
from collections import deque

BLOCK = 64 * 1024

_NONE = deque()  # type: deque[bytearray]
"""No blocks yet. An empty deque takes 600 bytes, and most commands write little."""


class OutputLog:
    """The beginning and the end of a stream; what falls out in between is known by offset.

    `size` counts every byte ever appended. Memory stays below `head_bytes` + `tail_bytes` +
    one block.
    """

    # As many as commands are kept: without a dictionary each.
    __slots__ = ("_blocks", "_head", "_head_bytes", "_tail_bytes", "_tail_start", "size")

    def __init__(self, head_bytes, tail_bytes):
        self.size = 0
        self._head = bytearray()
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        # Blocks of exactly BLOCK bytes but for the last, so that an offset finds its block by
        # division and a program that writes byte by byte costs no object per byte.
        self._blocks = _NONE
        self._tail_start = 0

    @property
    def kept(self):
        """Bytes held in memory."""
        return len(self._head) + self.size - max(self._tail_start, len(self._head))

    def append(self, data):
        """Take `data` in at the end; the oldest bytes after the head make room."""
        if len(self._head) < self._head_bytes and not self._blocks:
            room = self._head_bytes - len(self._head)
            self._head += data[:room]
            self.size += min(room, len(data))
            self._tail_start = self.size
            if room >= len(data):
                return
            data = data[room:]
        at = 0
        while at < len(data):
            if not self._blocks or len(self._blocks[-1]) == BLOCK:
                if self._blocks is _NONE:
                    self._blocks = deque()
                self._blocks.append(bytearray())
            block = self._blocks[-1]
            piece = data[at : at + BLOCK - len(block)]
            block += piece
            at += len(piece)
        self.size += len(data)
        while self.size - self._tail_start - BLOCK >= self._tail_bytes:
            self._blocks.popleft()
            self._tail_start += BLOCK

    def shed(self, size, before):
        """Drop up to about `size` bytes of the tail's oldest that stand before offset `before`.

        The bytes dropped. The last block stays.
        """
        dropped = 0
        while dropped < size and len(self._blocks) > 1 and self._tail_start + BLOCK <= before:
            self._blocks.popleft()
            self._tail_start += BLOCK
            dropped += BLOCK
        return dropped

    def first_kept(self, offset):
        """The smallest offset not below `offset` that can still be read (`size` at the end)."""
        if offset < len(self._head):
            return offset
        return min(max(offset, self._tail_start), self.size)

    def read(self, offset, limit):
        """Up to `limit` bytes that stand at `offset`, b"" when there are none (yet).

        `offset` must be one that `first_kept` gives back unchanged.
        """
        if offset < len(self._head):
            return bytes(self._head[offset : offset + limit])
        if offset >= self.size:
            return b""
        index, inside = divmod(offset - self._tail_start, BLOCK)
        return bytes(self._blocks[index][inside : inside + limit])

    def last(self, size):
        """The last `size` bytes, as far as they are kept."""
        offset, found = self.first_kept(max(0, self.size - size)), b""
        while offset < self.size:
            piece = self.read(offset, size)
            offset = self.first_kept(offset + len(piece))
            found += piece
        return found[-size:] if size else b""


def bytes_in_pipe(fd):
    """How many bytes nobody has read yet."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]
