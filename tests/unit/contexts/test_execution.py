"""An execution is read from the far end of a real link, in the hands of whoever runs there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest

from gateway.contexts import execution
from gateway.contexts.execution import WINDOW_BYTES, Execution
from gateway.contexts.records import Began, Record, Written
from gateway.errors import ContextNotFound, GatewayFull, LinkLost, ProtocolBroken, TooMuchUnread
from gateway.files.exchange import Exchange
from gateway.process.byte_budget import ByteBudget
from gateway.protocol import frames
from tests.unit.link.far_end import FarEnd, linked

OUT = 1


class Story:
    """An execution, the far end of it, and what it may hold."""

    def __init__(self, exchange: Exchange, far: FarEnd, room: int) -> None:
        self.budget = ByteBudget(room, room, own_full=TooMuchUnread, all_full=GatewayFull)
        self._execution = Execution(exchange, self.budget, "somebody")
        self._far = far
        kind, self._channel, _payload = far.next_frame()
        assert kind == frames.OPEN
        self._sent = self._credit = 0

    def say(self, data: bytes, piece: int = 65536) -> None:
        """As credit allows."""
        self._credit = self._credit or WINDOW_BYTES
        for at in range(0, len(data), piece):
            part = data[at : at + piece]
            while self._sent + len(part) > self._credit:
                kind, _number, payload = self._far.next_frame()
                if kind != frames.CREDIT:
                    return  # nobody listens any more
                self._credit += frames.decode_credit(payload)[1]
            self._far.send(frames.encode_data(self._channel, OUT, self._sent, part))
            self._sent += len(part)

    def end(self) -> None:
        self._far.send(frames.encode_data(self._channel, OUT, self._sent, b""))

    def refuse(self, code: str) -> None:
        self._far.event(self._channel, event="refused", code=code, detail="")

    def records(self) -> list[Record]:
        with gevent.Timeout(20):
            return list(self._execution.records())


@contextmanager
def story(room: int = 1 << 26) -> Iterator[Story]:
    with (
        linked() as (link, far),
        Exchange(link, {"op": "execute"}, WINDOW_BYTES) as exchange,
    ):
        yield Story(exchange, far, room)


LINES = b'{"type":"begin","execution_count":1}\n{"type":"stdout","text":"\xc3\xa9"}\n'


@pytest.mark.parametrize("piece", [3, 7, 65536])
def test_lines_come_whole_however_they_are_cut(piece: int) -> None:
    with story() as told:
        told.say(LINES, piece)
        told.end()
        assert told.records() == [Began(1), Written("stdout", "é")]
        assert told.budget.held == 0


def test_a_large_line_counts_while_it_is_held() -> None:
    """And is refused where its owner has no room for it."""
    line = b'{"type":"stdout","text":"' + b"x" * (3 << 20) + b'"}\n'
    with story() as told:
        gevent.spawn(lambda: (told.say(line), told.end()))
        [record] = told.records()
        assert isinstance(record, Written)
        assert len(record.text) == 3 << 20
        assert told.budget.held == 0


def test_a_line_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's memory is not the sandbox's to fill."""
    monkeypatch.setattr(execution, "LONGEST_LINE", 1 << 20)
    with story() as told:
        talking = gevent.spawn(told.say, b"x" * (4 << 20))
        with pytest.raises(ProtocolBroken, match="too long"):
            told.records()
        assert told.budget.held == 0
        talking.kill()


@pytest.mark.parametrize("said", [b"x", b"\n", b"null\n", LINES + b"half"])
def test_what_is_no_line_is_the_sandboxes_fault(said: bytes) -> None:
    with story() as told:
        told.say(said)
        told.end()
        with pytest.raises(ProtocolBroken):
            told.records()


def test_refusals_and_lost_links_are_told() -> None:
    with story() as told:
        told.refuse("unknown_context")
        with pytest.raises(ContextNotFound):
            told.records()
    with story() as told:
        told.say(LINES)
        told._far.send(b"no frame of any kind")
        with pytest.raises(LinkLost):
            told.records()
