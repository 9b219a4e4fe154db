"""One link: frames out, frames in, each to the channel it belongs to."""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import count
from typing import Any, Protocol

import gevent
from gevent.lock import BoundedSemaphore

from gateway.agent import frames
from gateway.errors import EngineFault, LinkLost

log = logging.getLogger(__name__)

MAX_PAYLOAD_FROM_AGENT = 4 * 1024 * 1024
"""Bytes. The agent is on the tenant's side: a larger frame is an attack. The largest that it sends
tells whoever attaches the text of the command."""

SEND_LIMIT_S = 20.0
"""An agent that does not take frames for so long is not there any more."""


class Transport(Protocol):
    """What carries the frames: two byte streams."""

    def receive(self) -> bytes: ...

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class Channel(Protocol):
    """Who listens to a channel. Called by the link's reader: must not block.

    A FrameError raised here means that the agent broke the protocol, and ends the link.
    """

    def on_event(self, event: dict[str, Any]) -> None: ...

    def on_data(self, stream: int, offset: int, data: bytes) -> None: ...

    def on_lost(self) -> None: ...


class Link:
    """A live connection to one agent. Owns its transport and one greenlet that reads it."""

    def __init__(
        self, transport: Transport, decoder: frames.Decoder, daemon: str, running: int
    ) -> None:
        self.daemon = daemon
        """Identity of the agent's process: while it stays, so do the commands it runs."""
        self.running_at_start = running
        self.lost = False
        self._transport = transport
        self._decoder = decoder
        self._channels: dict[int, Channel] = {}
        self._numbers = count(1)
        self._sending = BoundedSemaphore(1)
        self._changed: Callable[[int], None] = lambda difference: None
        self._reader = gevent.spawn(self._read)

    def count(self, changed: Callable[[int], None]) -> None:
        """Tell `changed` how many more links are open: 1 now, and -1 at the end."""
        if not self.lost:
            self._changed = changed
            changed(1)

    def open(self, channel: Channel, message: dict[str, Any]) -> int:
        """Open a channel for `message` and return its number. Raises LinkLost."""
        number = next(self._numbers) & 0xFFFFFFFF
        self._channels[number] = channel
        try:
            self.send(frames.encode_json(frames.OPEN, number, message))
        except LinkLost:
            self._channels.pop(number, None)
            raise
        return number

    def forget(self, number: int) -> None:
        """Stop listening to a channel that has come to its end."""
        self._channels.pop(number, None)

    def cancel(self, number: int) -> None:
        """Stop listening to a channel and tell the agent so."""
        if self._channels.pop(number, None) is not None and not self.lost:
            self.send(frames.encode(frames.CLOSE, number))

    def grant(self, number: int, stream: int, size: int) -> None:
        """Allow the agent `size` more bytes of a stream. Raises LinkLost."""
        self.send(frames.encode_credit(number, stream, size))

    def send(self, frame: bytes) -> None:
        """Write one frame whole. Raises LinkLost."""
        if self.lost:
            raise LinkLost("the link is closed")
        try:
            with gevent.Timeout(SEND_LIMIT_S, TimeoutError), self._sending:
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
            channel.on_lost()

    def _read(self) -> None:
        try:
            while not self.lost:
                received = self._transport.receive()
                if not received:
                    break
                for kind, number, payload in self._decoder.feed(received):
                    self._dispatch(kind, number, payload)
        except frames.FrameError as error:
            log.warning("an agent broke the protocol: %s", error)
        except Exception:
            log.exception("reading a link failed")
        finally:
            self.close()

    def _dispatch(self, kind: int, number: int, payload: bytes) -> None:
        channel = self._channels.get(number)
        if channel is None:
            return  # the end of a channel that was cancelled meanwhile
        if kind == frames.DATA:
            channel.on_data(*frames.decode_data(payload))
        elif kind == frames.EVENT:
            channel.on_event(frames.decode_json(payload))
        else:
            raise frames.FrameError(f"an agent does not send kind {kind}")
