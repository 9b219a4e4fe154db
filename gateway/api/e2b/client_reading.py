"""How far a client has read of the output that was written to it, as far as its kernel tells.

What the kernel has acknowledged, the client has read if it ends its side in order: a connection
that is closed with unread bytes is reset instead (RFC 9293, section 3.6.1). After a reset nobody
knows how much was not read; the window that was left open bounds it.
"""

from __future__ import annotations

from collections import deque

from gateway.api.e2b.client_socket import ClientSocket

Offsets = tuple[int, int]
"""Of stdout and stderr."""

PLACES = 512
"""So many places in what was written are remembered. More are thinned out."""

UNREAD_BYTES = 256 * 1024
"""More than the window tells may be unread after a reset: in what the client's program had taken
and not yet looked at, and where the window grew meanwhile."""

_FACTOR = 4


class ClientReading:
    """One client's, which gets the output from `begin` on."""

    def __init__(self, client: ClientSocket, begin: Offsets) -> None:
        self._client = client
        self._written = 0
        self._waiting: deque[tuple[int, Offsets]] = deque()
        """Places that were written and not acknowledged yet: bytes written by then, and offsets."""
        self._taken: deque[tuple[int, Offsets]] = deque([(0, begin)])
        """Places that were acknowledged, oldest first."""
        self._widest = 0
        self._is_over = False

    @property
    def offsets(self) -> Offsets:
        """What the client has had."""
        return self._taken[-1][1]

    @property
    def is_behind(self) -> bool:
        """Whether something was written that may yet be acknowledged."""
        return bool(self._waiting) and not self._is_over

    def wrote(self, size: int, offsets: Offsets) -> None:
        """`size` bytes were handed to the kernel, which bring the output up to `offsets`."""
        self._written += size
        self._waiting.append((self._written, offsets))
        _thin_out(self._waiting)
        self.look()

    def look(self) -> None:
        """See what the client has taken by now, or that it has gone."""
        if self._is_over:
            return
        if self._client.looks_left():
            self._is_over = True
            if self._client.was_reset:
                self._take_back()
                return
            # In order: what it acknowledged, at the latest with its own end, it has read.
        self._widest = max(self._widest, self._client.window())
        taken = self._written - self._client.unacknowledged()
        while self._waiting and self._waiting[0][0] <= taken:
            self._taken.append(self._waiting.popleft())
        _thin_out(self._taken)

    def complete(self) -> None:
        """Everything was written, and the client is still there: it will have read it."""
        self.look()
        if not self._is_over and self._waiting:
            self._taken.append(self._waiting[-1])
            self._waiting.clear()

    def _take_back(self) -> None:
        unread = _FACTOR * max(0, self._widest - self._client.window()) + UNREAD_BYTES
        read = self._taken[-1][0] - unread
        while len(self._taken) > 1 and self._taken[-1][0] > read:
            self._taken.pop()


def _thin_out(places: deque[tuple[int, Offsets]]) -> None:
    """Drop every other place, but not the first and the last."""
    if len(places) > PLACES:
        kept = [place for n, place in enumerate(places) if n % 2 == 0 or n == len(places) - 1]
        places.clear()
        places.extend(kept)
