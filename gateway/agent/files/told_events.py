"""Events of a watch on their way to the gateway, as JSON arrays, some at a time."""

import json

from . import records

EVENTS_PER_FRAME, BYTES_PER_FRAME = 100, 16 * 1024


class ToldEvents:
    """Sends them on a channel."""

    def __init__(self, channel):
        self._channel = channel
        self._held = []
        self._size = 0

    def tell(self, kind, path, to, found):
        """One more: `to` is the new path of what was renamed, `found` a record, or None."""
        self.add(event(kind, path, to, found), 2 * len(path) + 2 * len(to or b""))

    def add(self, one, size):
        """Likewise, of an event that is made already."""
        self._held.append(one)
        self._size += size
        if len(self._held) >= EVENTS_PER_FRAME or self._size >= BYTES_PER_FRAME:
            self.flush()

    def overflow(self):
        """Some were lost."""
        self._held.append(OVERFLOW)

    def flush(self):
        """Send what is held. Raises Closed."""
        if self._held:
            held, self._held, self._size = self._held, [], 0
            self._channel.send_whole(json.dumps(held, separators=(",", ":")).encode("ascii"))


OVERFLOW = ["overflow", None, None, None, None, None]


def event(kind, path, to, found):
    """As the gateway is told it."""
    ends = [None, None] if to is None else list(records.text(to))
    return [kind, *records.text(path), *ends, found]
