"""One link: frames out, frames in, each to the channel it belongs to."""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

import gevent
from gevent.lock import BoundedSemaphore

from gateway.errors import EngineFault, LinkLost, ProtocolBroken, TooManyCommands
from gateway.link import protocol_2
from gateway.link.channel import Channel, Use
from gateway.link.incoming import MAX_PAYLOAD_BYTES, Incoming, decode_json
from gateway.logs.line_budget import bounded_log
from gateway.process.giving_way import Rate, Turn
from gateway.process.time_shares import work_for_the_same
from gateway.protocol import frames

if TYPE_CHECKING:
    from gateway.link.dialect import Dialect

log = bounded_log(__name__)

SEND_LIMIT_S = 20.0
"""An agent that does not take frames for so long is not there any more."""

CLOSE_LIMIT_S = 1.0
"""Likewise for the few bytes that close a channel, for which somebody waits who has given up."""

MAX_TEXT_BYTES = 16 * 1024 * 1024
"""Of commands that clients attached to, whose text is needed for the result."""

SMALL_BYTES = 4096
SMALL_PER_S = 20_000
SMALL_AT_ONCE = 40_000
"""Frames below that size are read no faster. An honest agent then puts more into each: what it
cannot write yet it sends together."""

CLOSED_REMEMBERED = 4096
LATE_BYTES = 2 * 1024 * 1024
"""Of a channel that was closed before its end, an agent may have so much under way still."""


class Transport(Protocol):
    """What carries the frames: two byte streams."""

    def receive(self) -> bytes: ...

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Link:
    """A live connection to one agent. Owns its transport and one greenlet that reads it."""

    def __init__(
        self,
        transport: Transport,
        incoming: Incoming,
        daemon: str,
        dialect: Dialect = protocol_2,
    ) -> None:
        self.dialect = dialect
        self.daemon = daemon
        """Identity of the agent's process: while it stays, so do the commands it runs."""
        self.lost = False
        self._why = LinkLost("the link broke")
        self._transport = transport
        self._incoming = incoming
        self._incoming.max_payload = MAX_PAYLOAD_BYTES
        self._small = Rate(SMALL_PER_S, SMALL_AT_ONCE)
        self._channels: dict[int, Channel] = {}
        self._closed: OrderedDict[int, int] = OrderedDict()
        """Bytes that may still come, by channels that were closed before their end."""
        self._numbers = count(1)
        self._text = 0
        self._sending = BoundedSemaphore(1)
        self._changed: Callable[[int], None] = lambda difference: None
        self._reader = gevent.spawn(self._read)

    def works_for_the_caller(self) -> None:
        """What the agent sends is read at the expense of whom the current greenlet works for."""
        work_for_the_same(self._reader)

    def count(self, changed: Callable[[int], None]) -> None:
        """Tell `changed` how many more links are open: 1 now, and -1 at the end."""
        if not self.lost:
            self._changed = changed
            changed(1)

    @property
    def channels(self) -> int:
        """How many are open."""
        return len(self._channels)

    def open(self, use: Use, message: dict[str, Any], credit: tuple[int, int]) -> Channel:
        """Open a channel for the operation that `message` names. Each stream of it may bring
        `credit` (bytes, frames) at first. Raises LinkLost, and FeatureMissing for what an older
        agent cannot do."""
        number = next(self._numbers) & 0xFFFFFFFF
        frame = self.dialect.opening(number, message, credit)
        channel = self._channels[number] = Channel(self, number, use, self.dialect.inward(credit))
        try:
            self.send(frame)
        except LinkLost:
            self._channels.pop(number, None)
            raise
        return channel

    def keep_text(self, keeper: object, size: int) -> None:
        """Count `size` bytes that the agent said and `keeper` holds, for as long as that lives.
        Raises TooManyCommands when all of them on this link are more than `MAX_TEXT_BYTES`."""
        if self._text + size > MAX_TEXT_BYTES:
            raise TooManyCommands("the commands that are followed have too long texts")
        self._text += size
        weakref.finalize(keeper, self._drop_text, size)

    def _drop_text(self, size: int) -> None:
        self._text -= size

    def forget(self, number: int) -> None:
        """Stop listening to a channel that has come to its end."""
        self._channels.pop(number, None)

    def cancel(self, number: int) -> None:
        """Stop listening to a channel and tell the agent so. Raises LinkLost, when that takes more
        than `CLOSE_LIMIT_S` too."""
        if self._channels.pop(number, None) is not None and not self.lost:
            self._closed[number] = LATE_BYTES
            if len(self._closed) > CLOSED_REMEMBERED:
                self._closed.popitem(last=False)
            self.send(frames.encode(frames.CLOSE, number), CLOSE_LIMIT_S)

    def send(self, frame: bytes, within_s: float = SEND_LIMIT_S) -> None:
        """Write one frame whole. Raises LinkLost."""
        if self.lost:
            raise LinkLost("the link is closed")
        try:
            with gevent.Timeout(within_s, TimeoutError("the agent takes no frames")), self._sending:
                self._send_whole(frame)
        except (EngineFault, LinkLost, TimeoutError) as error:
            self.close()
            raise LinkLost(str(error)) from error

    def _send_whole(self, frame: bytes) -> None:
        try:
            self._transport.send(frame)
        except BaseException:
            # Also when killed in the middle: half a frame may be out, and nothing can follow it.
            self.close()
            raise

    def close(self) -> None:
        """Free the connection and tell every channel. Commands go on. May be repeated."""
        if self.lost:
            return
        self.lost = True
        self._changed(-1)
        self._transport.close()
        channels, self._channels = self._channels, {}
        for channel in channels.values():
            channel.on_lost(self._why)

    def _read(self) -> None:
        turn = Turn()
        try:
            while not self.lost:
                received = self._transport.receive()
                if not received:
                    break
                turn.begins()
                for kind, number, payload in self._incoming.frames(received):
                    self._dispatch(kind, number, payload)
                    if len(payload) < SMALL_BYTES:
                        self._small.take(1)
                    turn.took(len(payload))
                    if self._is_lost():  # meanwhile, by another greenlet
                        break
        except frames.FrameError as error:
            self._why = ProtocolBroken(f"the agent broke the protocol: {error}")
            log.warning("%s", self._why)
        except Exception:
            log.exception("reading a link failed")
        finally:
            self.close()

    def _is_lost(self) -> bool:
        return self.lost

    def _dispatch(self, kind: int, number: int, payload: bytes) -> None:
        channel = self._channels.get(number)
        if channel is None:
            self._late(number, len(payload) + frames.HEADER_SIZE)
        elif kind == frames.DATA:
            channel.on_data(*frames.decode_data(payload))
        elif kind == frames.EVENT:
            channel.on_event(decode_json(payload))
        elif kind == frames.CREDIT:
            channel.on_credit(*frames.decode_credit(payload))
        else:
            raise frames.FrameError(f"an agent does not send kind {kind}")

    def _late(self, number: int, size: int) -> None:
        """The end of a channel that was closed meanwhile. Raises FrameError for any other."""
        left = self._closed.get(number, 0) - size
        if left < 0:
            raise frames.FrameError(f"a frame on channel {number}, which is not open")
        self._closed[number] = left
