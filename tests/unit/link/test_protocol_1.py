"""What is said to agents of the version before: each frame as their gateway wrote it."""

from __future__ import annotations

import base64
import json
from typing import Any

import gevent
import gevent.socket
import pytest

from gateway.errors import FeatureMissing, LinkLost, ProtocolBroken
from gateway.link import protocol_1
from gateway.link.collector import EAGER_CREDIT, Collector
from gateway.link.direct import DirectStream
from gateway.link.follower import WINDOW, Follower
from gateway.link.handshake import shake_hands
from gateway.link.input import InputWriter
from gateway.protocol import frames
from gateway.protocol.streams import STDOUT
from tests.unit.link.far_end import FarEnd, linked


class _Ear:
    def __init__(self) -> None:
        self.heard = 0
        self.why: Exception | None = None

    def on_event(self, event: dict[str, Any]) -> None:
        self.heard += 1

    def on_data(self, stream: int, offset: int, data: bytes) -> None:
        self.heard += 1

    def on_lost(self, why: Exception) -> None:
        self.why = why


def _opened(far: FarEnd) -> tuple[int, dict[str, Any]]:
    """(channel, message) of the next OPEN, which is JSON and nothing else."""
    kind, number, payload = far.next_frame()
    assert kind == frames.OPEN
    return number, json.loads(payload)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"op": "running"}, {"op": "running"}),
        (
            {"op": "run", "command": "cat", "input": True, "body": b"\xff\x00"},
            {"op": "run", "command": "cat", "input": "/wA=", "input_encoding": "base64"},
        ),
        (
            {"op": "run", "command": "cat", "input": True},
            {"op": "run", "command": "cat", "input": "", "input_encoding": "base64"},
        ),
        (
            {"op": "run", "argv": ["printf", "%s", "a b", "$HOME"]},
            {"op": "run", "command": "exec printf %s 'a b' '$HOME'"},
        ),
        ({"op": "run", "command": "x", "user": None}, {"op": "run", "command": "x"}),
    ],
)
def test_an_operation_is_told_as_they_know_it(asked: dict[str, Any], told: dict[str, Any]) -> None:
    """They take no raw bytes and no argv."""
    frame = protocol_1.opening(3, asked, (0, 0))

    [(kind, number, payload)] = frames.Decoder().feed(frame)
    assert (kind, number, json.loads(payload)) == (frames.OPEN, 3, told)


def test_another_user_is_never_dropped_silently() -> None:
    """An older agent would start the command as its own."""
    with linked(protocol_1) as (link, _far):
        with pytest.raises(FeatureMissing):
            link.open(_Ear(), {"op": "run", "command": "id", "user": "root"}, (0, 0))

        assert link.channels == 0
        assert not link.lost


def test_credit_is_bytes_alone() -> None:
    """As many frames as they like, as before; not a byte more than was given."""
    with linked(protocol_1) as (link, far), gevent.Timeout(10):
        ear = _Ear()
        channel = link.open(ear, {"op": "x"}, (5000, 1))
        number, message = _opened(far)
        assert message == {"op": "x", "credit": 5000}

        far.send(b"".join(frames.encode_data(number, STDOUT, at, b"x") for at in range(5000)))
        channel.grant(STDOUT, 10, 1)
        assert far.next_frame() == (frames.CREDIT, number, b"\x01\x00\x00\x00\x0a")
        far.send(b"".join(frames.encode_data(number, STDOUT, 5000 + at, b"x") for at in range(10)))
        while ear.heard < 5010:
            gevent.sleep(0.001)
        assert not link.lost

        far.send(frames.encode_data(number, STDOUT, 5010, b"x"))
        assert far.is_closed()
        assert isinstance(ear.why, ProtocolBroken)


@pytest.mark.parametrize(
    "sent", [frames.encode_data(1, 1, 0, b""), frames.encode_credit(1, 1, 2**32 - 1, 1)]
)
def test_what_holds_for_channels_holds_here_too(sent: bytes) -> None:
    """A program in the place of an older agent gets no further than in that of a new one."""
    with linked(protocol_1) as (link, far), gevent.Timeout(5):
        ear = _Ear()
        link.open(ear, {"op": "x"}, (10, 10))
        far.send(sent * 2)

        assert far.is_closed()
        assert isinstance(ear.why, ProtocolBroken)


def test_readers_ask_as_they_always_did() -> None:
    """For the bytes that they take at first."""
    with linked(protocol_1) as (link, far):
        for use, credit in (
            (Collector({"op": "run", "key": "k"}, 100), EAGER_CREDIT),
            (Follower({"op": "attach", "key": "k"}, (7, 9)), WINDOW),
        ):
            link.open(use, use.message(), use.credit)
            assert _opened(far)[1]["credit"] == credit


def test_input_goes_in_messages_that_are_answered() -> None:
    """Each is known by its place, so that one which is sent again is not written twice."""
    data, moves = bytes(range(256)) * 1000, []
    writer = InputWriter({"request_id": "r"}, data, True, lambda: moves.append(writer.taken))
    with linked(protocol_1) as (link, far), gevent.Timeout(5):
        first = gevent.spawn(writer.over, link)
        number, message = _opened(far)
        assert base64.b64decode(message.pop("data")) == data[: 128 * 1024]
        assert message == {"op": "stdin", "request_id": "r", "end": False} | {
            "write_id": f"{writer.message['write_id']}:0"
        }
        far.event(number, event="done")
        _, second = _opened(far)
        link.close()
        with pytest.raises(LinkLost):
            first.get()

    with linked(protocol_1) as (link, far), gevent.Timeout(5):
        again = gevent.spawn(writer.over, link)
        number, message = _opened(far)
        assert message == second
        assert base64.b64decode(message["data"]) == data[128 * 1024 :]
        assert message["end"] is True
        far.event(number, event="done")
        again.get()
    assert moves == [128 * 1024, len(data)]


@pytest.mark.parametrize(("protocol", "dialect"), [(1, protocol_1), (2, None)])
def test_the_greeting_says_what_is_spoken(protocol: int, dialect: object) -> None:
    """Not the name of the socket: whoever has that may say what he likes."""
    ours, theirs = gevent.socket.socketpair()
    hello = {"protocol": protocol, "daemon": "d", "pid": 1, "running": 0}
    theirs.sendall(frames.encode_json(frames.HELLO, 0, hello))
    link = shake_hands(DirectStream(ours))
    try:
        assert (link.dialect is protocol_1) == (dialect is protocol_1)
    finally:
        link.close()
        theirs.close()
        gevent.sleep(0)
