"""What an agent may make wait for a client that does not read: bounded in bytes and in number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LinkLost
from gateway.link import follower as module
from gateway.link import protocol_2
from gateway.link.channel import Channel, frames_for
from gateway.link.collector import EAGER_CREDIT, Collector
from gateway.link.exited import Exited
from gateway.link.follower import Follower, Gap, Output, window_of
from gateway.protocol import frames
from gateway.protocol.frames import FrameError
from gateway.protocol.streams import STDERR, STDOUT

EXIT = {"event": "exit", "returncode": 0, "stdout": 0, "stderr": 0}


class _Granting:
    """A channel that only notes what credit is given, or, with a use, a real one on no link."""

    dialect = protocol_2

    def __init__(self, use: Any = None) -> None:
        self.granted = self.frames = 0
        self.lost = False
        self.channel = use and Channel(self, 1, use, protocol_2.inward(use.credit))  # type: ignore[arg-type]

    def grant(self, stream: int, size: int, count: int) -> None:
        self.granted += size
        self.frames += count
        if self.channel is not None:
            self.channel.grant(stream, size, count)

    def send(self, frame: bytes) -> None:
        assert frame[4] == frames.CREDIT


def _follower(operation: str = "run", window: int = module.WINDOW) -> Follower:
    follower = Follower({"op": operation, "key": "k"}, (0, 0))
    follower.message(window)
    return follower


def _all(follower: Follower) -> Iterator[Any]:
    return follower.events(_Granting())  # type: ignore[arg-type]


def _start(**changed: Any) -> dict[str, Any]:
    return {"event": "started", "pid": 1, "meta": {}, "offsets": [0, 0]} | changed


def test_single_bytes_wait_together() -> None:
    """Half a million frames of one byte each are half a megabyte, not half a million objects."""
    follower = _follower()
    for at in range(20_000):
        follower.on_data(STDOUT, at, b"o")
        follower.on_data(STDERR, at, b"e")
    follower.on_event(EXIT)

    events = list(_all(follower))

    assert len(events) <= module.MERGED_FROM + 3
    for stream, letter in ((STDOUT, b"o"), (STDERR, b"e")):
        pieces = [h for h in events if isinstance(h, Output) and h.stream == stream]
        assert b"".join(piece.data for piece in pieces) == letter * 20_000
        assert [p.offset for p in pieces] == [
            sum(len(q.data) for q in pieces[:n]) for n in range(len(pieces))
        ]


@given(st.lists(st.tuples(st.sampled_from([STDOUT, STDERR]), st.integers(0, 40)), max_size=300))
def test_whatever_is_merged_nothing_changes_its_place(steps: list[tuple[int, int]]) -> None:
    """Bytes and gaps of a stream come in order, each once; a size of 0 stands for a gap."""
    follower, at = _follower(), {STDOUT: 0, STDERR: 0}
    for stream, size in steps[: module.GAPS_WAITING]:
        if size:
            follower.on_data(stream, at[stream], bytes([at[stream] % 251]) * size)
        else:
            gap = {"event": "gap", "stream": stream, "from": at[stream], "to": at[stream] + 5}
            follower.on_event(gap)
        at[stream] += size or 5
    follower.on_event(EXIT)

    reached = {STDOUT: 0, STDERR: 0}
    for event in _all(follower):
        if isinstance(event, Output):
            assert event.offset == reached[event.stream]
            reached[event.stream] += len(event.data)
        elif isinstance(event, Gap):
            assert event.start == reached[event.stream]
            reached[event.stream] = event.end
        else:
            assert isinstance(event, Exited)
    assert reached == at


@pytest.mark.parametrize("between", [0, 1])
def test_gaps_that_nobody_reads_have_a_bound(between: int) -> None:
    """They cost no credit. No honest agent drops so many blocks meanwhile."""
    follower = _follower()
    at = 0

    def flood() -> None:
        nonlocal at
        for _ in range(module.GAPS_WAITING + 1):
            follower.on_event({"event": "gap", "stream": STDOUT, "from": at, "to": at + 1})
            at += 1
            if between:
                follower.on_data(STDOUT, at, b"x")
                at += 1

    with pytest.raises(FrameError, match="gaps"):
        flood()


@pytest.mark.parametrize(
    "second", [_start(), EXIT, {"event": "refused", "code": "x"}, {"event": "gap"}]
)
def test_what_comes_once_comes_once(second: dict[str, Any]) -> None:
    """After the start no other, after the end nothing at all."""
    follower = _follower()
    follower.on_event(_start())
    if second["event"] != "started":
        follower.on_event(EXIT)

    with pytest.raises(FrameError):
        follower.on_event(second)


@pytest.mark.parametrize("pid", [2**31, -1, True, 10**100, "1", 1.5])
def test_a_process_has_a_number_that_a_message_can_hold(pid: object) -> None:
    """orjson writes 64 bits; what it cannot write would be an answer that never comes."""
    with pytest.raises(FrameError):
        _follower().on_event(_start(pid=pid))


def test_what_the_gateway_knows_itself_is_not_kept() -> None:
    """Who starts a command knows its text: four megabytes of another are dropped at once."""
    follower = _follower("run")
    follower.on_event(_start(meta={"command": "x" * 1000}))

    assert next(_all(follower)).meta == {}


def test_of_what_is_told_only_what_a_gateway_noted_is_kept() -> None:
    """Who attaches needs five values; a thousand others are the agent's own."""
    follower = _follower("attach")
    noted = {"key": "k", "request_id": "r", "command": "c", "cap": 1, "encoding": "utf-8"}
    follower.on_event(_start(meta=noted | {f"x{n}": [n] for n in range(1000)}))

    assert next(_all(follower)).meta == noted


def test_a_link_lost_after_a_refusal_is_still_the_refusal() -> None:
    """The client is told why, whatever the agent does afterwards."""
    follower = _follower()
    follower.on_event({"event": "refused", "code": "bad_offset", "detail": "x"})
    follower.on_lost(LinkLost("y"))

    with pytest.raises(Exception, match="x"):
        next(_all(follower))


def test_many_followed_commands_share_a_links_window() -> None:
    """A hundred slow readers of one sandbox hold megabytes, not a hundred times one megabyte."""
    windows = [window_of(followed) for followed in range(1000)]

    assert windows[:8] == [module.WINDOW] * 8
    assert sum(windows[:100]) < 16 * 1024 * 1024
    assert min(windows) == module.LEAST_WINDOW


def test_a_smaller_window_is_kept_and_given_back() -> None:
    """The bound is the one that the agent was told."""
    follower = _follower(window=8192)
    link = _Granting(follower)
    link.channel.on_data(STDOUT, 0, b"x" * 8192)
    with pytest.raises(FrameError, match="without credit"):
        link.channel.on_data(STDOUT, 8192, b"x")

    follower = _follower(window=8192)
    link = _Granting(follower)
    link.channel.on_data(STDOUT, 0, b"x" * 8192)
    events = follower.events(link)  # type: ignore[arg-type]
    next(events)
    link.channel.on_data(STDERR, 0, b"x")
    next(events)
    assert (link.granted, link.frames) == (8192, 1)
    link.channel.on_data(STDOUT, 8192, b"x" * 8192)


def test_single_bytes_use_up_the_frames_first() -> None:
    """A byte in a frame of its own costs the gateway hundreds. An honest agent waits, and puts more
    into the next one; credit comes back as frames are taken from here, not only as bytes are."""
    follower = _follower()
    link = _Granting(follower)
    for at in range(module.WINDOW_FRAMES):
        link.channel.on_data(STDOUT, at, b"x")
    with pytest.raises(FrameError, match="without credit"):
        link.channel.on_data(STDOUT, module.WINDOW_FRAMES, b"x")

    follower = _follower()
    link = _Granting(follower)
    reading = gevent.spawn(list, follower.events(link))  # type: ignore[arg-type]
    for at in range(3 * module.WINDOW_FRAMES):
        link.channel.on_data(STDOUT, at, b"x")
        gevent.sleep(0)
    assert link.frames > 2 * module.WINDOW_FRAMES
    assert link.granted == link.frames
    reading.kill()


def _collector(cap: int = 1024 * 1024) -> Collector:
    collector = Collector({"op": "run", "key": "k"}, cap)
    collector.message()
    return collector


def _exit(size: int) -> dict[str, Any]:
    return EXIT | {"stdout": size, "windows": [[[0, size]], [[0, 0]]]}


def test_a_result_without_credit_ends_the_link() -> None:
    """What was announced is held back until there is memory for it: it may not come before."""
    channel = _Granting(_collector()).channel
    channel.on_event(_exit(1024 * 1024))
    channel.on_data(STDOUT, 0, b"x" * EAGER_CREDIT)
    with pytest.raises(FrameError, match="without credit"):
        channel.on_data(STDOUT, EAGER_CREDIT, b"x")


def test_a_result_that_was_granted_is_taken() -> None:
    """In as many pieces as it likes."""
    collector = _collector()
    channel = _Granting(collector).channel
    channel.on_event(_exit(EAGER_CREDIT + 10))
    [(stream, size)] = collector.wait_exit().items()
    channel.grant(stream, size, frames_for(size))
    channel.on_data(STDOUT, 0, b"x" * EAGER_CREDIT)
    for at in range(10):
        channel.on_data(STDOUT, EAGER_CREDIT + at, b"x")

    collector.wait_complete()
    assert collector.received == EAGER_CREDIT + 10


def test_a_result_that_stops_coming_is_given_up() -> None:
    """Memory that others wait for is held for it."""
    collector = _collector()
    collector.on_event(_exit(100))
    collector.on_data(STDOUT, 0, b"x")

    with pytest.raises(LinkLost, match="does not send"):
        collector.wait_complete(within_s=0.02)


def test_a_result_has_no_more_gaps_than_an_agent_has_blocks() -> None:
    """Each of one byte, they would be a million events."""
    collector = _collector()
    collector.on_event(_exit(10_000))

    def flood() -> None:
        for at in range(5000):
            collector.on_event({"event": "gap", "stream": STDOUT, "from": at, "to": at + 1})

    with pytest.raises(FrameError, match="gaps"):
        flood()


def test_why_a_command_failed_is_a_sentence_and_not_a_book() -> None:
    """It goes into the result and into the sandbox's end record."""
    follower = _follower()
    follower.on_event(EXIT | {"failure": "x" * 1_000_000})

    assert len(next(_all(follower)).failure) <= 4096
