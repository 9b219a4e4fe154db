"""Channels carry bytes both ways and know nothing of commands: an operation that no gateway has is
registered here, with the agent's own link, table and channel at the far end."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import pytest

from gateway.agent.links.channel import Use
from gateway.agent.links.link import Link as AgentLink
from gateway.agent.operations.table import Operations
from gateway.errors import BadRequest, LinkLost, ProtocolBroken
from gateway.link.ask import ask
from gateway.link.channel import Channel
from gateway.link.link import Link
from gateway.protocol import frames
from gateway.protocol.credit import UPWARDS
from tests.unit.link.far_end import linked

ASKED, ECHOED = 3, 200


class Echo(Use):
    """Sends back on another stream what comes on one, turned round, a piece of any size at a
    time."""

    def __init__(self, channel: Any, message: dict[str, Any]) -> None:
        self._channel = channel
        self._pieces: deque[bytes] = deque()
        self._sent = 0
        self._whole = False
        self.closed_times = 0
        channel.tell(event="ready", body=message.get(frames.BODY, b"").decode())

    def received(self, stream: int, offset: int, data: bytes) -> None:
        assert stream == ASKED
        self._pieces.append(data[::-1])
        self._channel.wake()

    def ended(self, stream: int, offset: int) -> None:
        self._whole = True
        self._channel.wake()

    def produce(self) -> bytes | None:
        if not self._pieces:
            if not self._whole:
                return None
            self.done = True
            end: bytes = self._channel.data(ECHOED, self._sent, b"")
            return end
        room = self._channel.room(ECHOED)
        if not room:
            return None
        piece, rest = self._pieces[0][:room], self._pieces[0][room:]
        self._pieces.popleft()
        if rest:
            self._pieces.appendleft(rest)
        else:
            self._channel.grant(ASKED, 5, 1)
        offset, self._sent = self._sent, self._sent + len(piece)
        made: bytes = self._channel.data(ECHOED, offset, piece)
        return made

    def closed(self) -> None:
        self.closed_times += 1


class Agent:
    """The agent's end: its own link and table, with one operation."""

    def __init__(self, end: socket.socket) -> None:
        self.link = AgentLink(os.dup(end.fileno()), end.detach(), socket.socket())
        self.uses: list[Echo] = []
        self._table = Operations({"echo": self._echo, "refuse": lambda channel, message: {}["x"]})

    def _echo(self, channel: Any, message: dict[str, Any]) -> Echo:
        self.uses.append(Echo(channel, message))
        return self.uses[-1]

    def turn(self) -> None:
        """What the daemon does when something has come."""
        for kind, number, payload in self.link.receive():
            channel = self.link.channels.get(number)
            if kind == frames.OPEN:
                self._table.open(self.link, number, payload)
            elif channel is not None and kind == frames.DATA:
                channel.take(*frames.decode_data(payload))
            elif channel is not None and kind == frames.CREDIT:
                channel.granted(*frames.decode_credit(payload))
            elif channel is not None and kind == frames.CLOSE:
                channel.close()
        self.link.pump()
        self.link.advanced()

    def serve(self) -> None:
        while True:
            gevent.sleep(0.001)
            self.turn()


class Ear:
    """The gateway's end of a channel: keeps what comes."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.data: list[tuple[int, int, bytes]] = []
        self.why: LinkLost | None = None

    def on_event(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        self.data.append((stream, offset, data))

    def on_lost(self, why: LinkLost) -> None:
        self.why = why

    @property
    def is_whole(self) -> bool:
        return bool(self.data) and not self.data[-1][2]


@contextmanager
def served() -> Iterator[tuple[Link, Agent]]:
    """A gateway's link to an agent's."""
    with linked() as (link, far), gevent.Timeout(10):
        agent = Agent(far.take_socket())
        serving = gevent.spawn(agent.serve)
        try:
            yield link, agent
        finally:
            serving.kill()
            agent.link.close()


def _send(channel: Channel, pieces: list[bytes]) -> None:
    """All of it and the end, as there is room."""
    offset = 0
    for piece in pieces:
        while channel.room(ASKED) < len(piece):
            channel.wait()
        channel.send(ASKED, offset, piece)
        offset += len(piece)
    channel.send(ASKED, offset, b"")


def _wait(channel: Channel, ear: Ear, count: int) -> None:
    while len(ear.data) < count:
        gevent.sleep(0.001)


def test_an_operation_of_any_kind_uses_channels_as_they_are() -> None:
    """Files, archives, watches and connections come later: none of them is to change a frame."""
    with served() as (link, _agent):
        ear = Ear()
        channel = link.open(ear, {"op": "echo", frames.BODY: b"\x00raw"}, (100, 100))
        pieces = [b"%05d" % number for number in range(40)]  # more than there are frames for

        sending = gevent.spawn(_send, channel, pieces)
        _wait(channel, ear, 20)
        channel.grant(ECHOED, 1000, 100)
        while not ear.is_whole:
            gevent.sleep(0.001)
        sending.get()

        assert ear.events == [{"event": "ready", "body": "\x00raw"}]
        assert {stream for stream, _, _ in ear.data} == {ECHOED}
        assert b"".join(data for _, _, data in ear.data) == b"".join(p[::-1] for p in pieces)
        assert [offset for _, offset, _ in ear.data] == list(range(0, 201, 5))


@pytest.mark.parametrize(("credit", "come"), [((10, 100), 2), ((1000, 3), 3), ((0, 5), 0)])
def test_neither_bytes_nor_frames_go_beyond_the_credit(credit: tuple[int, int], come: int) -> None:
    """Whichever is used up first."""
    with served() as (link, _agent):
        ear = Ear()
        channel = link.open(ear, {"op": "echo"}, credit)
        for number in range(6):
            channel.send(ASKED, 5 * number, b"12345")
        _wait(channel, ear, come)
        assert ask_is_answered(link)

        assert len(ear.data) == come
        assert channel.on_the_way(ASKED) == 30 - 5 * come

        channel.grant(ECHOED, 30, 6)
        _wait(channel, ear, 6)
        assert b"".join(data for _, _, data in ear.data) == b"54321" * 6


def ask_is_answered(link: Link) -> bool:
    """Whether the agent has dealt with everything that was sent before."""
    with pytest.raises(BadRequest):
        ask(link, "refuse")
    return True


def test_a_channel_that_is_closed_early_leaves_nothing_at_the_agent() -> None:
    """What still comes for it is dropped there, and others go on."""
    with served() as (link, agent):
        channel = link.open(Ear(), {"op": "echo"}, (10, 10))
        channel.send(ASKED, 0, b"12345")
        channel.cancel()
        channel.cancel()
        assert ask_is_answered(link)

        assert agent.link.channels == {}
        assert [use.closed_times for use in agent.uses] == [1]


def test_a_lost_link_closes_what_is_open_on_both_sides() -> None:
    """Nothing waits for what cannot come."""
    with served() as (link, agent):
        ear = Ear()
        link.open(ear, {"op": "echo"}, (10, 10))
        assert ask_is_answered(link)

        link.close()
        agent.link.close()

        assert ear.why is not None
        assert [use.closed_times for use in agent.uses] == [1]


CREDIT = (20, 4)
BROKEN = {
    "too many bytes": [frames.encode_data(1, 9, 0, b"x" * 21)],
    "too many frames": [frames.encode_data(1, 9, at, b"x") for at in range(5)],
    "data after the end": [frames.encode_data(1, 9, 0, b""), frames.encode_data(1, 9, 0, b"x")],
    "two ends": [frames.encode_data(1, 9, 0, b"")] * 2,
    "half a frame of data": [frames.encode(frames.DATA, 1, b"x")],
    "credit without a number": [frames.encode(frames.CREDIT, 1, b"\1\0\0\0\1")],
    "credit for nothing": [frames.encode_credit(1, 9, 0, 0)],
    "bytes without end": [frames.encode_credit(1, 9, 2**32 - 1, 1)] * 2,
    "frames without end": [frames.encode_credit(1, 9, 1, 2**32 - 1)] * 2,
}


@pytest.mark.parametrize("sent", BROKEN.values(), ids=BROKEN.keys())
def test_who_breaks_the_rules_of_channels_loses_the_link(sent: list[bytes]) -> None:
    """Whatever the channel is for: these hold before its use is asked."""
    with linked() as (link, far), gevent.Timeout(5):
        ear = Ear()
        link.open(ear, {"op": "x"}, CREDIT)
        for frame in sent:
            far.send(frame)

        assert far.is_closed()
        assert isinstance(ear.why, ProtocolBroken)


def test_each_stream_has_its_own_credit() -> None:
    """One that is not read holds back no other."""
    with linked() as (link, far), gevent.Timeout(5):
        ear = Ear()
        channel = link.open(ear, {"op": "x"}, CREDIT)
        for stream in (0, 1, 255):
            far.send(frames.encode_data(1, stream, 0, b"x" * 20))
        _wait(channel, ear, 3)
        assert not link.lost


def test_an_agent_takes_no_more_than_it_gave_credit_for() -> None:
    """The gateway is trusted, but its mistakes shall not fill the sandbox's memory."""
    with served() as (link, agent):
        channel = link.open(Ear(), {"op": "echo"}, (0, 0))
        for number in range(UPWARDS[1]):
            channel.send(ASKED, number, b"x")
        with pytest.raises(frames.FrameError):
            channel.send(ASKED, 16, b"x")
        assert ask_is_answered(link)

        [kept] = agent.link.channels.values()
        with pytest.raises(frames.FrameError):
            kept.take(ASKED, 16, b"x")
