"""A link is read fairly: whatever comes, everything else has its turn, and nothing is waited for
without end."""

from __future__ import annotations

import time
from typing import Any

import gevent
import pytest

from gateway.errors import AgentUnavailable, LinkLost, ProtocolBroken, TooManyCommands
from gateway.link import ask as asking
from gateway.link import link as module
from gateway.link.ask import ask, running_commands, wait_until_quiet
from gateway.protocol import frames
from tests.unit.link.far_end import linked

MUCH = (2**31, 2**31)
"""Credit for a flood."""


class _Ear:
    """A channel that takes everything."""

    def __init__(self) -> None:
        self.heard = 0
        self.why: LinkLost | None = None

    def on_event(self, event: dict[str, Any]) -> None:
        self.heard += 1

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        self.heard += 1

    def on_lost(self, why: LinkLost) -> None:
        self.why = why


def _slowest_tick_s(until: Any) -> float:
    """How long the hub works while somebody waits who only wants to run each millisecond: in
    processor time, for others use the machine too."""
    slowest, before = 0.0, time.thread_time()
    while not until():
        gevent.sleep(0.001)
        now = time.thread_time()
        slowest, before = max(slowest, now - before), now
    return slowest


@pytest.mark.parametrize("size", [1, 1000])
def test_a_flood_of_frames_lets_others_run(size: int) -> None:
    """Bytes are always ready, so the socket never makes its reader wait."""
    with linked() as (link, far), gevent.Timeout(20):
        ear = _Ear()
        number = link.open(ear, {"op": "x"}, MUCH).number
        data = frames.encode_data(number, 1, 0, b"x" * size) * (300_000 // (size + 20))
        flood = gevent.spawn(lambda: [far.send(data) for _ in range(10)])

        slowest_s = _slowest_tick_s(flood.ready)

        assert ear.heard > 1000
        # A flood that is never interrupted takes a second and more.
        assert slowest_s < 0.1


def test_small_frames_are_read_no_faster_than_their_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs the gateway as much as a large one. The agent is held back, not cut off: an honest
    one puts more into each frame then."""
    monkeypatch.setattr(module, "SMALL_PER_S", 1000)
    monkeypatch.setattr(module, "SMALL_AT_ONCE", 100)
    with linked() as (link, far), gevent.Timeout(20):
        ear = _Ear()
        number = link.open(ear, {"op": "x"}, MUCH).number
        started = time.monotonic()
        far.send(frames.encode_data(number, 1, 0, b"x") * 400)

        _slowest_tick_s(lambda: ear.heard == 400)

        assert time.monotonic() - started >= 0.29
        assert not link.lost


@pytest.mark.parametrize("channel", [0, 2, 77, 2**32 - 1])
def test_a_frame_on_a_channel_that_was_never_opened_ends_the_link(channel: int) -> None:
    """No agent sends one; who does wants to keep the gateway busy."""
    with linked() as (link, far), gevent.Timeout(5):
        ear = _Ear()
        link.open(ear, {"op": "x"}, MUCH)
        far.event(channel, event="x")

        assert far.is_closed()
        assert isinstance(ear.why, ProtocolBroken)


def test_the_end_of_a_channel_that_was_closed_meanwhile_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was under way; but no more than can be under way, and not after thousands of others."""
    monkeypatch.setattr(module, "LATE_BYTES", 1000)
    monkeypatch.setattr(module, "CLOSED_REMEMBERED", 2)
    with linked() as (link, far), gevent.Timeout(5):
        channels = [link.open(_Ear(), {"op": "x"}, MUCH) for _ in range(2)]
        for channel in channels:
            channel.cancel()
            far.event(channel.number, event="x")
        assert ask_answered(link, far)

        far.send(frames.encode_data(channels[0].number, 1, 0, b"x" * 1000))
        assert far.is_closed()

    with linked() as (link, far), gevent.Timeout(5):
        channels = [link.open(_Ear(), {"op": "x"}, MUCH) for _ in range(3)]
        for channel in channels:
            channel.cancel()
        far.event(channels[0].number, event="x")
        assert far.is_closed()


def ask_answered(link: Any, far: Any) -> bool:
    """Whether the link still works."""
    asked = gevent.spawn(ask, link, "running")
    while True:
        kind, number, payload = far.next_frame()
        if kind == frames.OPEN and b"running" in payload:
            far.event(number, event="running", running=3)
            return asked.get() == {"event": "running", "running": 3}


def test_every_question_has_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent agent is an error, by name; what it says later on harms nobody."""
    monkeypatch.setattr(asking, "ANSWER_S", 0.05)
    with linked() as (link, far), gevent.Timeout(5):
        with pytest.raises(AgentUnavailable, match="did not answer"):
            ask(link, "list", within_s=0.05)
        assert not wait_until_quiet(link, 0.05)
        for number in (1, 2):
            far.event(number, event="quiet")

        assert ask_answered(link, far)


def test_an_agent_that_reads_nothing_delays_nobody_who_gives_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """To close a channel is to send a frame: a limit of a second was 21 for a deaf agent."""
    monkeypatch.setattr(module, "CLOSE_LIMIT_S", 0.05)
    with linked() as (link, _far), gevent.Timeout(5):
        stuffed = gevent.spawn(link.open, _Ear(), {"op": "x" * 10_000_000}, MUCH)
        started = time.monotonic()

        with pytest.raises((LinkLost, AgentUnavailable)):
            ask(link, "running", within_s=0.05)

        assert time.monotonic() - started < 1
        stuffed.join()
        assert link.lost


def test_texts_that_clients_wait_with_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that attaches holds a command's text until its result: four megabytes, by the agent's
    word. What is not held any more makes room."""
    monkeypatch.setattr(module, "MAX_TEXT_BYTES", 100)
    with linked() as (link, _far):
        keepers = [_Ear(), _Ear()]
        link.keep_text(keepers[0], 60)
        with pytest.raises(TooManyCommands):
            link.keep_text(keepers[1], 60)
        del keepers[0]

        link.keep_text(keepers[0], 60)


def test_two_answers_to_one_question_end_the_link() -> None:
    """The second could only be read in vain, again and again."""
    with linked() as (link, far), gevent.Timeout(5):
        asked = gevent.spawn(running_commands, link)
        _kind, number, _payload = far.next_frame()
        far.send(frames.encode_json(frames.EVENT, number, {"event": "running", "running": 1}) * 2)

        assert asked.get() == 1
        assert far.is_closed()


@pytest.mark.parametrize("running", [2**70, -1, True, "1", None, [1]])
def test_a_number_of_commands_that_is_none_counts_as_none(running: object) -> None:
    """It decides whether a sandbox is idle, and nothing else."""
    with linked() as (link, far), gevent.Timeout(5):
        asked = gevent.spawn(running_commands, link)
        _kind, number, _payload = far.next_frame()
        far.event(number, event="running", running=running)

        assert asked.get() == 0
