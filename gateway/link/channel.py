"""One channel of a link: bytes both ways within credit, and what the agent says on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gevent.event import Event

from gateway.errors import LinkLost
from gateway.protocol import frames
from gateway.protocol.credit import UPWARDS, Credit, Flow

if TYPE_CHECKING:
    from gateway.link.link import Link

NOTHING = (0, 0)
"""The credit of a channel on which no bytes are to come."""

BLOCK_BYTES = 16 * 1024


def frames_for(size: int) -> int:
    """How many frames an honest agent needs for so many bytes that it has already: it cuts them at
    64 KiB, and where its blocks end."""
    return 16 + size // BLOCK_BYTES


class Use(Protocol):
    """Whom a channel is for. Called by the link's reader: must not block.

    A FrameError raised here means that the agent broke the protocol, and ends the link.
    """

    def on_event(self, event: dict[str, Any]) -> None: ...

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        """Bytes that there was credit for; none are the end of the stream."""

    def on_lost(self, why: LinkLost) -> None: ...


class Channel:
    """Made by `Link.open`. `inward` is what the agent may send."""

    def __init__(self, link: Link, number: int, use: Use, inward: Flow) -> None:
        self.number = number
        self._link = link
        self._use = use
        self._inward = inward
        self._outward = Flow(*UPWARDS)
        self._changed: Event | None = None

    # --- what the user of the channel does -------------------------------------------------------

    def grant(self, stream: int, size: int, count: int) -> None:
        """Let the agent send `size` more bytes of a stream, in `count` more frames. Raises
        LinkLost."""
        credit: Credit = self._inward.of(stream)
        credit.add(size, count)
        self._link.send(self._link.dialect.crediting(self.number, stream, size, count))

    def room(self, stream: int, most: int = frames.MAX_CHUNK) -> int:
        """How many bytes of a stream may be sent at once now."""
        room: int = self._outward.of(stream).room
        return min(room, most)

    def on_the_way(self, stream: int) -> int:
        """Bytes that were sent and that no credit has come back for."""
        size: int = self._outward.of(stream).size
        return max(0, UPWARDS[0] - size)

    def send(self, stream: int, offset: int, data: bytes) -> None:
        """Send what there is `room` for. Without data the stream ends. Raises LinkLost."""
        self._outward.passed(stream, len(data))
        self._link.send(frames.encode_data(self.number, stream, offset, data))

    def wait(self) -> None:
        """Block until something has happened since the last call: an event, credit, or the end of
        the link. At first not at all."""
        if self._changed is None:
            self._changed = Event()
            return
        self._changed.wait()
        self._changed.clear()

    def forget(self) -> None:
        """Stop listening: the channel has come to its end."""
        self._link.forget(self.number)

    def cancel(self) -> None:
        """Stop listening before the end, and tell the agent so. May be repeated. Raises LinkLost,
        when that takes long too."""
        self._link.cancel(self.number)

    # --- what the link's reader does -------------------------------------------------------------

    def on_event(self, event: dict[str, Any]) -> None:
        self._use.on_event(event)
        self._wake()

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        self._inward.passed(stream, len(data))
        self._use.on_data(stream, offset, data)

    def on_credit(self, stream: int, size: int, count: int) -> None:
        self._outward.of(stream).add(size, count)
        self._wake()

    def on_lost(self, why: LinkLost) -> None:
        self._use.on_lost(why)
        self._wake()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
