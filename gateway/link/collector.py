"""One command's capped output and exit, put together from its channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
from gevent.event import Event

from gateway.errors import GatewayError, LinkLost
from gateway.link.channel import frames_for
from gateway.link.exited import LARGEST, Exited, exited_from
from gateway.link.incoming import is_count
from gateway.link.refusals import refusal
from gateway.protocol import frames, streams

EAGER_CREDIT = 64 * 1024
"""Bytes of each stream that come along with the exit, without asking first."""

PROGRESS_S = 30.0
"""How long an agent may take for the next bytes of what it has announced."""

MAX_GAPS = 1024
"""Of one result: an honest agent tells of a gap when it has dropped a block of 64 KiB."""


@dataclass
class Collected:
    """How a command ended, and what is kept of its output."""

    exited: Exited
    pieces: tuple[list[bytearray], list[bytearray]]
    """For stdout and stderr each, one item per kept range, in order."""


class Collector:
    """A channel that ends with `Collected`. It outlives a link: `message` says where to go on.

    Everything the agent claims is checked against `cap`, so it cannot make the gateway hold more.
    """

    def __init__(self, request: dict[str, Any], cap: int, eager: int = EAGER_CREDIT) -> None:
        self._eager = eager
        self._request = request
        self._cap = cap
        self._exit: Exited | None = None
        self._exit_seen = False
        self._windows: dict[int, list[list[int]]] = {}
        self._buffers: dict[int, list[bytearray]] = {streams.STDOUT: [], streams.STDERR: []}
        self._next = {streams.STDOUT: 0, streams.STDERR: 0}
        self._to_grant: dict[int, int] = {}
        self._gaps = 0
        self._error: GatewayError | None = None
        self._changed = Event()

    def message(self) -> dict[str, Any]:
        """The OPEN that asks for the outcome or, after a lost link, for the rest of it."""
        self._exit_seen = False
        self._error = None
        self._gaps = 0
        return self._request | {
            "mode": "collect",
            "cap": self._cap,
            "offsets": [self._next[streams.STDOUT], self._next[streams.STDERR]],
        }

    @property
    def credit(self) -> tuple[int, int]:
        """That of the channel."""
        return self._eager, frames_for(self._eager)

    def wait_exit(self) -> dict[int, int]:
        """Block until the command has ended; the bytes per stream that wait to be granted.

        Raises LinkLost, or what the agent refused the command for.
        """
        self._wait(lambda: self._exit_seen)
        return {stream: size for stream, size in self._to_grant.items() if size}

    @property
    def kept_bytes(self) -> int:
        """How much of its output will have come, of both streams, once the command has ended."""
        return sum(end - start for ranges in self._windows.values() for start, end in ranges)

    def wait_complete(self, within_s: float = PROGRESS_S) -> None:
        """Block until everything kept has come. Raises LinkLost, also when nothing comes for
        `within_s`: a result that does not come holds memory that others wait for."""
        while not self._complete():
            before = dict(self._next)
            with gevent.Timeout(within_s, False):
                self._wait(self._complete)
            if self._next == before and not self._complete():
                raise LinkLost("the agent does not send what it announced")

    def _wait(self, reached: Callable[[], bool]) -> None:
        while not reached():
            if self._error is not None:
                raise self._error
            self._changed.wait()
            self._changed.clear()

    @property
    def received(self) -> int:
        """Bytes of output that have come."""
        return sum(len(buffer) for buffers in self._buffers.values() for buffer in buffers)

    def collected(self) -> Collected:
        """The outcome, once complete. The collector gives its buffers away."""
        assert self._exit is not None
        buffers, self._buffers = self._buffers, {}
        return Collected(
            self._exit,
            (buffers[streams.STDOUT], buffers[streams.STDERR]),
        )

    # --- called by the link's reader -------------------------------------------------------------

    def on_event(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if self._error is not None:
            raise frames.FrameError("an event after the end")
        if kind == "exit":
            self._on_exit(event)
        elif kind == "gap":
            self._on_gap(event)
        elif kind == "refused":
            self._fail(refusal(event))
        else:
            raise frames.FrameError(f"unexpected event {kind!r:.80}")

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        if not self._exit_seen or offset != self._next.get(stream) or not data:
            raise frames.FrameError(f"unexpected output at {offset} of stream {stream}")
        index, end = self._window(stream, offset)
        if offset + len(data) > end:
            raise frames.FrameError("more output than announced")
        self._buffers[stream][index] += data
        self._advance(stream, offset + len(data))

    def on_lost(self, why: LinkLost) -> None:
        self._fail(self._error or why)

    # --- checks ----------------------------------------------------------------------------------

    def _on_exit(self, event: dict[str, Any]) -> None:
        if self._exit_seen:
            raise frames.FrameError("the command ended twice")
        exited = exited_from(event)
        windows = _checked_windows(event.get("windows"), exited.sizes, self._cap)
        if self._exit is None:
            self._exit = exited
            self._windows = windows
            for stream, ranges in windows.items():
                self._buffers[stream] = [bytearray() for _ in ranges]
                self._advance(stream, 0)
        elif windows != self._windows:
            raise frames.FrameError("the command ended twice, in two ways")
        self._exit_seen = True
        for stream, ranges in windows.items():
            left = sum(max(0, end - max(start, self._next[stream])) for start, end in ranges)
            self._to_grant[stream] = max(0, left - self._eager)
        self._changed.set()

    def _fail(self, error: GatewayError) -> None:
        self._error = error
        self._changed.set()

    def _on_gap(self, event: dict[str, Any]) -> None:
        stream, start, end = event.get("stream"), event.get("from"), event.get("to")
        self._gaps += 1
        if not self._exit_seen or not is_count(stream, 256) or not is_count(end, LARGEST):
            raise frames.FrameError("unexpected gap")
        if self._gaps > MAX_GAPS:
            raise frames.FrameError("more gaps than an agent has blocks to drop")
        if start != self._next.get(stream) or end <= self._next[stream]:
            raise frames.FrameError("gap at another place")
        self._advance(stream, end)

    def _window(self, stream: int, offset: int) -> tuple[int, int]:
        for index, (start, end) in enumerate(self._windows[stream]):
            if start <= offset < end:
                return index, end
        raise frames.FrameError("output outside what was announced")

    def _advance(self, stream: int, offset: int) -> None:
        """Go on at `offset`, or at the start of the next range when it lies between two."""
        for start, end in self._windows[stream]:
            if offset < end:
                offset = max(offset, start)
                break
        self._next[stream] = offset
        if self._complete():
            self._changed.set()

    def _complete(self) -> bool:
        return self._exit is not None and all(
            not ranges or self._next[stream] >= ranges[-1][1]
            for stream, ranges in self._windows.items()
        )


def _checked_windows(
    windows: object, sizes: tuple[int, int], cap: int
) -> dict[int, list[list[int]]]:
    """The announced ranges per stream, ascending and together no longer than `cap`."""
    if not isinstance(windows, list) or len(windows) != 2:
        raise frames.FrameError("exit without its ranges")
    checked = {}
    for stream, size, ranges in zip((streams.STDOUT, streams.STDERR), sizes, windows, strict=True):
        if not isinstance(ranges, list) or len(ranges) > 2:
            raise frames.FrameError("exit with broken ranges")
        at, total = 0, 0
        for window in ranges:
            if not isinstance(window, list) or len(window) != 2:
                raise frames.FrameError("exit with a broken range")
            start, end = window
            if not is_count(start, LARGEST) or not is_count(end, LARGEST) or not at <= start <= end:
                raise frames.FrameError("ranges out of order")
            at, total = end, total + end - start
        if total > cap or at > size:
            raise frames.FrameError("ranges longer than allowed")
        checked[stream] = ranges
    return checked
