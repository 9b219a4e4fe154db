"""One command's output as it comes, from its channel, never more than was asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gevent.event import Event

from gateway.errors import GatewayError, LinkLost
from gateway.link.channel import Channel
from gateway.link.exited import LARGEST, Exited, exited_from
from gateway.link.incoming import is_count
from gateway.link.refusals import refusal
from gateway.protocol import frames, streams

WINDOW = 512 * 1024
"""Bytes of a stream that may be under way or waiting here. Bounds a slow reader's memory."""

WINDOW_FRAMES = 256
"""Frames of a stream, likewise. An agent that has used them up puts more into the next ones."""

LINK_WINDOW = 4 * 1024 * 1024
LEAST_WINDOW = 8 * 1024
"""Of one link, for one stream of each: more than eight commands that are followed at a time get
smaller windows, down to the least."""

MERGED_FROM = 64
"""So many events wait one by one; beyond that, a stream's next bytes join its last ones."""

GAPS_WAITING = 256
"""An honest agent tells of a gap when it has dropped a block of 64 KiB."""

LARGEST_PID = 2**31

META = ("key", "request_id", "command", "cap", "encoding", "checkpoint", "changes")
"""What a gateway notes about a command (`gateway.commands.command_spec`). The rest is not kept."""


@dataclass(frozen=True)
class Started:
    """The command runs, or ran. `meta` is what was noted about it when it was asked for; its output
    is told from `offsets` of stdout and stderr on."""

    pid: int | None
    meta: dict[str, Any]
    offsets: tuple[int, int] = (0, 0)
    terminal: bool = False


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


CommandEvent = Started | Output | Gap | Exited


@dataclass
class _Bytes:
    """Output that waits here, and may grow at its end."""

    stream: int
    offset: int
    data: bytearray = field(default_factory=bytearray)
    count: int = 0
    """Frames."""


def window_of(followed: int) -> int:
    """The window of a stream on a link on which so many other commands are followed."""
    return max(LEAST_WINDOW, min(WINDOW, LINK_WINDOW // (followed + 1)))


class Follower:
    """A channel that follows a command. It outlives a link: `message` says where to go on.

    What waits here is bounded by the window and, whatever the size of frames, in events.
    """

    def __init__(self, request: dict[str, Any], offsets: tuple[int, int]) -> None:
        self._request = dict(request)
        self._wants_meta = request.get("op") != "run"
        self._next = {streams.STDOUT: offsets[0], streams.STDERR: offsets[1]}
        self._owed = {streams.STDOUT: [0, 0], streams.STDERR: [0, 0]}
        """Bytes and frames that were taken from here: credit is owed for them."""
        self._queue: deque[Started | _Bytes | Gap | Exited] = deque()
        self._last: dict[int, _Bytes | None] = {}
        """What a stream's next bytes may join."""
        self._gaps = 0
        self._window = WINDOW
        self._error: GatewayError | None = None
        self._changed = Event()
        self._begun = False
        self._ended = False
        self.received = 0
        """Bytes of output that came, once for each time that they came."""

    def message(self, window: int = WINDOW) -> dict[str, Any]:
        """The OPEN that starts following or, after a lost link, goes on; with `window` bytes of
        each stream.

        Whatever had arrived but was not taken is asked for again.
        """
        for event in self._queue:
            if isinstance(event, _Bytes):
                self._next[event.stream] = min(self._next[event.stream], event.offset)
            elif isinstance(event, Gap):
                self._next[event.stream] = min(self._next[event.stream], event.start)
        self._queue.clear()
        self._last = {}
        self._gaps = 0
        self._error = None
        self._begun = self._ended = False
        self._window = window
        for stream in self._owed:
            self._owed[stream] = [0, 0]
        return self._request | {
            "mode": "follow",
            "offsets": [self._next[streams.STDOUT], self._next[streams.STDERR]],
        }

    @property
    def credit(self) -> tuple[int, int]:
        """That of the channel."""
        return self._window, WINDOW_FRAMES

    def events(self, channel: Channel) -> Iterator[CommandEvent]:
        """What happens, in order, to the exit. Credit is given back as the caller goes on.

        Raises LinkLost, or what the agent refused to follow for.
        """
        while True:
            while not self._queue:
                if self._error is not None:
                    raise self._error
                self._changed.wait()
                self._changed.clear()
            event, count = self._taken()
            yield event
            if isinstance(event, Exited):
                return
            if isinstance(event, Output):
                self._give_back(channel, event.stream, len(event.data), count)

    def _taken(self) -> tuple[CommandEvent, int]:
        """The first that waits, and the frames that it came in."""
        first = self._queue.popleft()
        if isinstance(first, Gap):
            self._gaps -= 1
        if not isinstance(first, _Bytes):
            return first, 0
        if self._last.get(first.stream) is first:
            self._last[first.stream] = None
        return Output(first.stream, first.offset, bytes(first.data)), first.count

    def _give_back(self, channel: Channel, stream: int, size: int, count: int) -> None:
        size, count = size + self._owed[stream][0], count + self._owed[stream][1]
        self._owed[stream] = [size, count]
        # In pieces of at least a quarter of the window, to send fewer frames.
        if not self._ended and (size >= self._window // 4 or count >= WINDOW_FRAMES // 4):
            self._owed[stream] = [0, 0]
            channel.grant(stream, size, count)

    # --- called by the link's reader -------------------------------------------------------------

    def on_event(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if self._ended or self._error is not None:
            raise frames.FrameError("an event after the end")
        if kind == "started":
            self._on_start(event)
        elif kind == "gap":
            self._on_gap(event)
        elif kind == "exit":
            exited = exited_from(event)
            self._ended = True
            self._add(exited)
        elif kind == "refused":
            self._error = refusal(event)
            self._changed.set()
        else:
            raise frames.FrameError(f"unexpected event {kind!r:.80}")

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        if offset != self._next.get(stream) or not data or self._ended or self._error is not None:
            raise frames.FrameError(f"unexpected output at {offset} of stream {stream}")
        self._next[stream] = offset + len(data)
        self.received += len(data)
        last = self._last.get(stream)
        if last is None or len(self._queue) < MERGED_FROM:
            last = self._last[stream] = _Bytes(stream, offset)
            self._add(last)
        last.data += data
        last.count += 1

    def _on_start(self, event: dict[str, Any]) -> None:
        pid, meta = event.get("pid"), event.get("meta")
        if not (pid is None or is_count(pid, LARGEST_PID)) or not isinstance(meta, dict):
            raise frames.FrameError("start without its facts")
        if self._begun:
            raise frames.FrameError("a second start")
        self._begun = True
        chosen = [self._request.pop(name, None) for name in ("tail", "undelivered")]
        if chosen != [None, None]:
            self._start_at(event.get("offsets"))
        kept = {name: meta[name] for name in META if isinstance(meta.get(name), str | int)}
        self._go_on_by_key(kept.get("key"))
        offsets = (self._next[streams.STDOUT], self._next[streams.STDERR])
        terminal = event.get("terminal") is True
        self._add(Started(pid, kept if self._wants_meta else {}, offsets, terminal))

    def _go_on_by_key(self, key: object) -> None:
        """A pid or a tag may mean another command by the time a lost link is made anew."""
        if isinstance(key, str) and not {"pid", "tag"}.isdisjoint(self._request):
            self._request = {"op": "attach", "key": key}

    def _start_at(self, offsets: Any) -> None:
        """The agent chose where to begin, so as to show no more than the end of what is kept."""
        if not isinstance(offsets, list) or len(offsets) != 2:
            raise frames.FrameError("start without its offsets")
        for stream, offset in zip(self._next, offsets, strict=True):
            if not is_count(offset, LARGEST):
                raise frames.FrameError("start at a broken offset")
            self._next[stream] = offset

    def on_lost(self, why: LinkLost) -> None:
        self._error = self._error or why
        self._changed.set()

    def _on_gap(self, event: dict[str, Any]) -> None:
        stream, start, end = event.get("stream"), event.get("from"), event.get("to")
        if not is_count(stream, 256) or not is_count(end, LARGEST):
            raise frames.FrameError("gap without its place")
        if start != self._next.get(stream) or end <= self._next[stream]:
            raise frames.FrameError("gap at another place")
        self._gaps += 1
        if self._gaps > GAPS_WAITING:
            raise frames.FrameError("more gaps than an agent has blocks to drop")
        gap = Gap(stream, self._next[stream], end)
        self._next[stream] = end
        self._last[stream] = None
        self._add(gap)

    def _add(self, event: Started | _Bytes | Gap | Exited) -> None:
        self._queue.append(event)
        self._changed.set()
