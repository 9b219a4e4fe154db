"""What an agent may claim about a command: everything is checked, nothing else than FrameError is
raised in the link's reader, and memory is bounded by the cap."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import CommandLost, GatewayError, LinkLost, TooManyCommands
from gateway.link.collector import EAGER_CREDIT, Collector
from gateway.protocol import frames
from gateway.protocol.frames import FrameError
from gateway.protocol.streams import STDERR, STDOUT
from gateway.schemas.command_result import Outcome, result_of
from gateway.schemas.event_encoder import encode_message

CAP = 200


def _collector(cap: int = CAP) -> Collector:
    collector = Collector({"op": "run", "key": "key"}, cap)
    collector.message()
    return collector


def _exit(stdout: int = 0, stderr: int = 0, **changed: Any) -> dict[str, Any]:
    windows = [
        [[0, size]] if size <= CAP else [[0, 100], [size - 100, size]] for size in (stdout, stderr)
    ]
    event = {"event": "exit", "returncode": 0, "stdout": stdout, "stderr": stderr}
    return event | {"windows": windows} | changed


def test_a_result_is_put_together() -> None:
    """Exit first, then the announced ranges of both streams in any order."""
    collector = _collector()
    collector.on_event(_exit(6, 3, returncode=7))
    collector.on_data(STDERR, 0, b"err")
    collector.on_data(STDOUT, 0, b"out")
    collector.on_data(STDOUT, 3, b"put")

    with gevent.Timeout(1):
        assert collector.wait_exit() == {}
        collector.wait_complete()
    collected = collector.collected()
    assert (collected.exited.returncode, collected.exited.sizes) == (7, (6, 3))
    assert collected.pieces == ([b"output"], [b"err"])


def test_head_and_tail_become_two_pieces() -> None:
    """What lies between the ranges never comes."""
    collector = _collector()
    collector.on_event(_exit(1000))
    collector.on_data(STDOUT, 0, b"h" * 100)
    collector.on_data(STDOUT, 900, b"t" * 100)

    with gevent.Timeout(1):
        collector.wait_complete()
    assert collector.collected().pieces[0] == [b"h" * 100, b"t" * 100]


def test_only_what_goes_beyond_the_eager_credit_is_asked_for() -> None:
    """Small results take no part in the budget."""
    cap = 4 * EAGER_CREDIT
    collector = _collector(cap)
    collector.on_event(
        {"event": "exit", "returncode": 0, "stdout": cap, "stderr": 5}
        | {"windows": [[[0, cap]], [[0, 5]]]}
    )

    with gevent.Timeout(1):
        assert collector.wait_exit() == {STDOUT: cap - EAGER_CREDIT}


def test_after_a_lost_link_it_goes_on_at_the_next_byte() -> None:
    """The message for the new link says where; the same exit comes again and is accepted."""
    collector = _collector()
    collector.on_event(_exit(1000))
    collector.on_data(STDOUT, 0, b"h" * 60)
    collector.on_lost(LinkLost("x"))
    with pytest.raises(LinkLost):
        collector.wait_complete()

    assert collector.message()["offsets"] == [60, 0]
    collector.on_event(_exit(1000))
    collector.on_data(STDOUT, 60, b"h" * 40)
    collector.on_data(STDOUT, 900, b"t" * 100)

    with gevent.Timeout(1):
        collector.wait_complete()
    assert collector.collected().pieces[0] == [b"h" * 100, b"t" * 100]


@pytest.mark.parametrize(
    ("code", "error"),
    [("too_many_commands", TooManyCommands), ("forgotten", CommandLost), (None, CommandLost)],
)
def test_a_refusal_becomes_a_typed_error(code: object, error: type[GatewayError]) -> None:
    """Also one that this gateway does not know."""
    collector = _collector()
    collector.on_event({"event": "refused", "code": code, "detail": "x" * 10_000})

    with gevent.Timeout(1), pytest.raises(error) as raised:
        collector.wait_exit()
    assert len(str(raised.value)) <= 500


LIES = {
    "no return code": _exit(returncode=None),
    "return code is text": _exit(returncode="0"),
    "return code too large": _exit(returncode=256),
    "return code negative": _exit(returncode=-1),
    "size is negative": _exit() | {"stdout": -1},
    "size is text": _exit() | {"stdout": "5"},
    "no windows": {"event": "exit", "returncode": 0, "stdout": 0, "stderr": 0},
    "windows are no list": _exit(windows={"0": 1}),
    "one window list": _exit(windows=[[[0, 0]]]),
    "three windows": _exit(9, windows=[[[0, 1], [2, 3], [4, 5]], []]),
    "window beyond the size": _exit(5, windows=[[[0, 6]], []]),
    "window beyond the cap": _exit(5000, windows=[[[0, CAP + 1]], []]),
    "windows beyond the cap": _exit(5000, windows=[[[0, CAP], [CAP, CAP + 1]], []]),
    "windows overlap": _exit(100, windows=[[[0, 60], [50, 100]], []]),
    "window backwards": _exit(100, windows=[[[60, 50]], []]),
    "window negative": _exit(100, windows=[[[-5, 5]], []]),
    "window of text": _exit(100, windows=[[["a", "b"]], []]),
    "window of one": _exit(100, windows=[[[1]], []]),
    "failure is no text": _exit(failure=["x"]),
    "unknown event": {"event": "what"},
    "no event": {},
    "event is a list": {"event": ["exit"]},
    "gap before the exit": {"event": "gap", "stream": 1, "from": 0, "to": 5},
}


@pytest.mark.parametrize("event", LIES.values(), ids=LIES.keys())
def test_a_lie_ends_the_link(event: dict[str, Any]) -> None:
    """FrameError is what the link's reader understands."""
    with pytest.raises(FrameError):
        _collector().on_event(event)


@pytest.mark.parametrize(
    ("stream", "offset", "data"),
    [
        (STDOUT, 1, b"x"),
        (STDOUT, 0, b""),
        (STDOUT, 0, b"x" * 101),
        (STDERR, 0, b"x"),
        (3, 0, b"x"),
        (0, 0, b"x"),
        (STDOUT, 2**63, b"x"),
    ],
)
def test_output_that_was_not_announced_ends_the_link(stream: int, offset: int, data: bytes) -> None:
    """At another place, empty, too much, of another stream."""
    collector = _collector()
    collector.on_event(_exit(100))

    with pytest.raises(FrameError):
        collector.on_data(stream, offset, data)


def test_output_before_the_exit_ends_the_link() -> None:
    """The exit announces what may come; before it nothing may."""
    with pytest.raises(FrameError):
        _collector().on_data(STDOUT, 0, b"x")


def test_a_second_and_different_exit_ends_the_link() -> None:
    """A command ends once."""
    collector = _collector()
    collector.on_event(_exit(100))

    with pytest.raises(FrameError):
        collector.on_event(_exit(101))


NUMBERS = st.one_of(
    st.integers(-3, CAP + 3), st.sampled_from([2**31, 2**63, 2**64, 2**70, -(2**63)])
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | NUMBERS
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["event", "stream"]), inner, max_size=2)
    ),
    max_leaves=6,
)
WINDOW = st.lists(NUMBERS, min_size=2, max_size=2) | ANYTHING
EVENTS = st.fixed_dictionaries(
    {"event": st.sampled_from(["exit", "exit", "gap", "refused"]) | ANYTHING},
    optional={
        "returncode": st.integers(0, 255) | ANYTHING,
        "stdout": NUMBERS | ANYTHING,
        "stderr": NUMBERS | ANYTHING,
        "windows": st.lists(st.lists(WINDOW, max_size=3), min_size=2, max_size=2) | ANYTHING,
        "failure": st.none() | st.text(st.characters(exclude_categories=()), max_size=5),
        "stream": st.integers(0, 3) | ANYTHING,
        "from": NUMBERS | ANYTHING,
        "to": NUMBERS | ANYTHING,
        "code": ANYTHING,
        "detail": ANYTHING,
    },
)
HONEST = st.builds(_exit, st.integers(0, CAP * 2), st.integers(0, CAP * 2))
DATA = st.tuples(st.integers(0, 3), st.integers(0, CAP * 2), st.binary(max_size=CAP + 5))
MESSAGES = st.lists(EVENTS | HONEST | DATA, max_size=12)


def _tell(collector: Collector, messages: list[Any]) -> bool:
    """Whether the collector put up with all of them."""
    try:
        for message in messages:
            if isinstance(message, dict):
                collector.on_event(message)
            else:
                collector.on_data(*message)
    except FrameError:
        return False
    return True


@given(messages=MESSAGES)
def test_whatever_an_agent_says_only_frame_error_is_raised_and_memory_is_bounded(
    messages: list[Any],
) -> None:
    """Anything else would end the link's reader with a traceback."""
    collector = _collector()

    _tell(collector, messages)

    held = sum(len(b) for buffers in collector._buffers.values() for b in buffers)
    assert held <= 2 * CAP
    for size in collector._to_grant.values():
        assert 0 <= size <= CAP
    offsets = collector.message()["offsets"]
    frames.encode_json(frames.OPEN, 1, {"offsets": offsets})


@example(messages=[_exit(failure="\ud800")])
@example(messages=[_exit() | {"stdout": 2**70}])
@example(messages=[{"event": "refused", "detail": "\ud800"}])
@given(messages=MESSAGES)
def test_whatever_an_agent_says_the_client_can_be_told(messages: list[Any]) -> None:
    """Each command is answered. Numbers beyond 64 bits and lone surrogates pass through JSON into
    the gateway, but no further: neither orjson nor a client's parser takes them."""
    collector = _collector()
    if not _tell(collector, messages):
        return
    try:
        with gevent.Timeout(0, False):
            collector.wait_complete()
    except GatewayError as error:
        str(error).encode("utf-8")
        return
    if not collector._complete():
        return
    found = collector.collected()
    outcome = Outcome(found.exited, found.pieces)
    encode_message(result_of("command", "request", outcome))
