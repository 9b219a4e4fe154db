"""One command's output as it comes, from its channel, never more than was asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gevent.event import Event

from gateway.agent import frames
from gateway.errors import GatewayError, LinkLost
from gateway.link.exited import Exited, exited_from
from gateway.link.link import Link
from gateway.link.refusals import refusal

WINDOW = 512 * 1024
"""Bytes of a stream that may be under way or waiting here. Bounds a slow reader's memory."""

GRANT_FROM = WINDOW // 4
"""Credit is given back in pieces of at least this size, to send fewer frames."""


@dataclass(frozen=True)
class Started:
    """The command runs, or ran. `meta` is what was noted about it when it was asked for."""

    pid: int | None
    meta: dict[str, Any]


@dataclass(frozen=True)
class Output:
    """Bytes of a stream (1 stdout, 2 stderr) that stand at `offset`."""

    stream: int
    offset: int
    data: bytes


@dataclass(frozen=True)
class Gap:
    """Bytes `start` to `end` (exclusive) of a stream are not kept any more."""

    stream: int
    start: int
    end: int


Happening = Started | Output | Gap | Exited


class Follower:
    """A channel that follows a command. It outlives a link: `message` says where to go on."""

    def __init__(self, request: dict[str, Any], offsets: tuple[int, int]) -> None:
        self._request = dict(request)
        self._next = {frames.STDOUT: offsets[0], frames.STDERR: offsets[1]}
        self._owed = {frames.STDOUT: 0, frames.STDERR: 0}
        self._queued = {frames.STDOUT: 0, frames.STDERR: 0}
        self._queue: deque[Happening] = deque()
        self._error: GatewayError | None = None
        self._changed = Event()
        self._ended = False

    def message(self) -> dict[str, Any]:
        """The OPEN that starts following or, after a lost link, goes on.

        Whatever had arrived but was not taken is asked for again.
        """
        for happening in self._queue:
            if isinstance(happening, Output):
                self._next[happening.stream] = min(self._next[happening.stream], happening.offset)
            elif isinstance(happening, Gap):
                self._next[happening.stream] = min(self._next[happening.stream], happening.start)
        self._queue.clear()
        self._error = None
        self._ended = False
        for stream in self._owed:
            self._owed[stream] = self._queued[stream] = 0
        return self._request | {
            "mode": "follow",
            "credit": WINDOW,
            "offsets": [self._next[frames.STDOUT], self._next[frames.STDERR]],
        }

    def happenings(self, link: Link, number: int) -> Iterator[Happening]:
        """What happens, in order, to the exit. Credit is given back as the caller goes on.

        Raises LinkLost, or what the agent refused to follow for.
        """
        while True:
            while not self._queue:
                if self._error is not None:
                    raise self._error
                self._changed.wait()
                self._changed.clear()
            happening = self._queue.popleft()
            yield happening
            if isinstance(happening, Exited):
                return
            if isinstance(happening, Output):
                self._give_back(link, number, happening.stream, len(happening.data))

    def _give_back(self, link: Link, number: int, stream: int, size: int) -> None:
        self._queued[stream] -= size
        self._owed[stream] += size
        if self._owed[stream] >= GRANT_FROM and not self._ended:
            size, self._owed[stream] = self._owed[stream], 0
            link.grant(number, stream, size)

    # --- called by the link's reader -------------------------------------------------------------

    def on_event(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if kind == "started":
            pid, meta = event.get("pid"), event.get("meta")
            if not (pid is None or isinstance(pid, int)) or not isinstance(meta, dict):
                raise frames.FrameError("start without its facts")
            if self._request.pop("tail", None) is not None:
                self._start_at(event.get("offsets"))
            self._add(Started(pid, meta))
        elif kind == "gap":
            self._on_gap(event)
        elif kind == "exit":
            self._ended = True
            self._add(exited_from(event))
        elif kind == "refused":
            self._error = refusal(event)
            self._changed.set()
        else:
            raise frames.FrameError(f"unexpected event {kind!r:.80}")

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        if offset != self._next.get(stream) or not data or self._ended:
            raise frames.FrameError(f"unexpected output at {offset} of stream {stream}")
        self._queued[stream] += len(data)
        if self._queued[stream] + self._owed[stream] > WINDOW:
            raise frames.FrameError("more output than was asked for")
        self._next[stream] = offset + len(data)
        self._add(Output(stream, offset, data))

    def _start_at(self, offsets: Any) -> None:
        """The agent chose where to begin, so as to show no more than the end of what is kept."""
        if not isinstance(offsets, list) or len(offsets) != 2:
            raise frames.FrameError("start without its offsets")
        for stream, offset in zip(self._next, offsets, strict=True):
            if not isinstance(offset, int) or offset < 0:
                raise frames.FrameError("start at a broken offset")
            self._next[stream] = offset

    def on_lost(self) -> None:
        self._error = LinkLost("the link broke while the command was followed")
        self._changed.set()

    def _on_gap(self, event: dict[str, Any]) -> None:
        stream, start, end = event.get("stream"), event.get("from"), event.get("to")
        if not isinstance(stream, int) or not isinstance(end, int):
            raise frames.FrameError("gap without its place")
        if start != self._next.get(stream) or end <= self._next[stream]:
            raise frames.FrameError("gap at another place")
        gap = Gap(stream, self._next[stream], end)
        self._next[stream] = end
        self._add(gap)

    def _add(self, happening: Happening) -> None:
        self._queue.append(happening)
        self._changed.set()
