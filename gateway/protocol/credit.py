"""What may still be sent on one stream of a channel: bytes, and frames to put them into.

Bytes alone would not bound a receiver: a byte in a frame of its own costs it hundreds.
"""

from gateway.protocol.frames import FrameError

UPWARDS = (128 * 1024, 16)
"""(bytes, frames) of each stream to the agent, from the opening of its channel on: little is sent
without asking."""

MOST = 2**32


class Credit:
    """One stream's account, kept by the sender to wait and by the receiver to check."""

    __slots__ = ("count", "size")

    def __init__(self, size, count):
        self.size = size
        """Bytes."""
        self.count = count
        """Frames."""

    @property
    def room(self):
        """How many bytes may be in the next frame."""
        return self.size if self.count > 0 else 0

    def add(self, size, count):
        """So much more is allowed. Raises FrameError beyond `MOST`, and for nothing at all, which
        would only keep the other side busy."""
        if not size and not count:
            raise FrameError("credit for nothing")
        self.size += size
        self.count += count
        if self.size >= MOST or self.count >= MOST:
            raise FrameError("more credit than any stream needs")

    def spend(self, size):
        """A frame of so many bytes was sent. Raises FrameError when that was too much."""
        self.size -= size
        self.count -= 1
        if self.size < 0 or self.count < 0:
            raise FrameError("data without credit")


class Flow:
    """What passes on the streams of one channel in one direction: within credit, and nothing after
    a stream's end. Each stream begins with `size` bytes in `count` frames.
    """

    __slots__ = ("_count", "_credits", "_ended", "_size")

    def __init__(self, size, count):
        self._size = size
        self._count = count
        self._credits = {}
        self._ended = set()

    def of(self, stream):
        """The credit of a stream."""
        credit = self._credits.get(stream)
        if credit is None:
            credit = self._credits[stream] = Credit(self._size, self._count)
        return credit

    def passed(self, stream, size):
        """A frame of so many bytes, or with none the end. Raises FrameError when it may not be."""
        if stream in self._ended:
            raise FrameError("data after the end of stream %d" % stream)
        if size:
            self.of(stream).spend(size)
        else:
            self._ended.add(stream)
