"""How far a client has read of the output that was written to it, as far as its kernel tells.

What the kernel has acknowledged, the client has read if it ends its side in order: a connection
that is closed with unread bytes is reset instead (RFC 9293, section 3.6.1). After a reset nobody
knows how much was not read; the window that was left open bounds it. And a program that is killed
while much comes has read some that it had not looked at.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from gateway.api.e2b.client_socket import ClientSocket

Offsets = tuple[int, int]
"""Of stdout and stderr."""

PLACES = 512
"""So many places in what was written are remembered. More are thinned out."""

UNREAD_BYTES = 512 * 1024
"""What a client's program may have read and not looked at, where much comes at a time."""

_FRAMING_BYTES = 4
"""Of a chunk, besides the digits of its size (RFC 9112, section 7.1)."""

_FACTOR = 4
"""A window that grew meanwhile tells less than what is unread."""

MUCH_WITHIN_S = 0.1
MUCH_WRITES = 16
MUCH_BYTES = 64 * 1024
"""So much at a time a program need not have looked at when it was read. Less it has: a moment later
it waits for more."""

RECENT_S = 2.0
"""Whoever leaves later than this after the last write has had time to look at everything."""


class ClientReading:
    """One client's, which gets the output from `begin` on."""

    def __init__(
        self,
        client: ClientSocket,
        begin: Offsets,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._now = now
        self._recent: deque[tuple[float, int]] = deque(maxlen=MUCH_WRITES)
        """When the last writes were, and the bytes that were written by then."""
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
        """A chunk of `size` bytes was handed to the kernel, which brings the output up to
        `offsets`."""
        self._written += size + len(f"{size:X}") + _FRAMING_BYTES
        self._recent.append((self._now(), self._written))
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
                self._take_back(_FACTOR * max(0, self._widest - self._client.window()))
                return
            # In order: what it acknowledged, at the latest with its own end, it has read.
        self._widest = max(self._widest, self._client.window())
        taken = self._written - self._client.unacknowledged()
        while self._waiting and self._waiting[0][0] <= taken:
            self._taken.append(self._waiting.popleft())
        _thin_out(self._taken)
        if self._is_over and self._much_came():
            self._take_back(0)

    def complete(self) -> None:
        """Everything was written, and the client is still there: it will have read it. How it
        leaves after that tells nothing: many do not wait for the end of an answer whose last
        message they have, which is a reset."""
        self.look()
        if not self._is_over and self._waiting:
            self._taken.append(self._waiting[-1])
            self._waiting.clear()
        self._is_over = True

    def _much_came(self) -> bool:
        if not self._recent or self._now() - self._recent[-1][0] > RECENT_S:
            return False
        last_at, last = self._recent[-1]
        within = [total for at, total in self._recent if last_at - at <= MUCH_WITHIN_S]
        return len(within) == MUCH_WRITES or last - within[0] >= MUCH_BYTES

    def _take_back(self, unread: int) -> None:
        read = self._taken[-1][0] - unread - UNREAD_BYTES
        while len(self._taken) > 1 and self._taken[-1][0] > read:
            self._taken.pop()


def _thin_out(places: deque[tuple[int, Offsets]]) -> None:
    """Drop every other place, but not the first and the last."""
    if len(places) > PLACES:
        kept = [place for n, place in enumerate(places) if n % 2 == 0 or n == len(places) - 1]
        places.clear()
        places.extend(kept)
