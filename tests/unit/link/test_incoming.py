"""Frames and their JSON, before anything is made of them."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.link.incoming import MAX_PAYLOAD_BYTES, Incoming, decode_json
from gateway.protocol import frames
from gateway.protocol.frames import FrameError

MIB = 1024 * 1024


@given(
    st.lists(st.tuples(st.sampled_from(sorted(frames.KINDS)), st.binary(max_size=300)), max_size=8),
    st.lists(st.integers(1, 60), max_size=30),
)
def test_frames_come_out_as_they_went_in(sent: list[tuple[int, bytes]], cuts: list[int]) -> None:
    """Wherever the stream is cut, as the agent's own decoder has it."""
    stream = b"".join(frames.encode(kind, 7, payload) for kind, payload in sent)
    incoming, got, at = Incoming(), [], 0
    for size in [*cuts, len(stream)]:
        got += list(incoming.frames(stream[at : at + size]))
        at += size

    assert got == [(kind, 7, payload) for kind, payload in sent]
    assert not incoming.holds_more()


def test_a_frame_that_comes_byte_by_byte_costs_no_more_for_each() -> None:
    """The largest one, in pieces: neither copied nor looked through each time."""
    incoming = Incoming(MAX_PAYLOAD_BYTES)
    head = frames.encode(frames.EVENT, 1, b" " * MAX_PAYLOAD_BYTES)[: frames.HEADER_SIZE]
    assert list(incoming.frames(head + b" " * (MAX_PAYLOAD_BYTES - 100_000))) == []
    started = time.process_time()
    for _ in range(99_999):
        assert not list(incoming.frames(b" "))

    assert time.process_time() - started < 2
    assert len(list(incoming.frames(b" "))) == 1


@pytest.mark.parametrize("unit", ["[],", "{},", "1,", '"",', '{"a":1},', "[[[1]]],", '"\\"",'])
def test_a_text_of_many_values_is_refused_before_it_is_decoded(unit: str) -> None:
    """Four megabytes of `[],` are a hundred of objects, in a worker that all share."""
    payload = ('{"x":[' + unit * (MAX_PAYLOAD_BYTES // len(unit) - 10) + "0]}").encode()
    tracemalloc.start()
    started = time.process_time()
    try:
        with pytest.raises(FrameError, match="too many"):
            decode_json(payload)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 32 * MIB
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "text", ["[,{" * 300_000, '"\\' * 300_000, "é\n\u2028" * 200_000, "x" * MIB]
)
def test_a_long_text_is_one_value(text: str) -> None:
    """What a command looks like is the client's choice: it comes back to whoever attaches."""
    payload = json.dumps({"meta": {"command": text}}, ensure_ascii=False).encode()

    assert decode_json(payload) == {"meta": {"command": text}}


HARD_TO_READ = {
    "line ends": b'"' + rb"x\n" * (MAX_PAYLOAD_BYTES // 3 - 20) + b'"',
    "quotes": b'"' + rb"\"" * (MAX_PAYLOAD_BYTES // 2 - 20) + b'"',
    "pairs": b'"' + rb"\ud83d\ude42" * (MAX_PAYLOAD_BYTES // 12 - 20) + b'"',
    "long numbers": b"[" + b",".join([b"9" * 4300] * 900) + b"]",
    "fractions": b"[" + b",".join([b"9007199254740993" + b"0" * 200 + b"e-217"] * 16_000) + b"]",
}


@pytest.mark.parametrize("name", HARD_TO_READ)
def test_the_largest_text_takes_no_noticeable_time(name: str) -> None:
    """Others wait as long as one frame is read: 160 ms for long numbers, 80 for line ends."""
    payload = b'{"event":"x","value":' + HARD_TO_READ[name] + b"}"
    assert MAX_PAYLOAD_BYTES - 900_000 < len(payload) <= MAX_PAYLOAD_BYTES

    assert min(_seconds_to_read(payload) for _ in range(3)) < 0.05


def _seconds_to_read(payload: bytes) -> float:
    started = time.process_time()
    try:
        decode_json(payload)
    except FrameError:
        pass  # too long for a number
    return time.process_time() - started


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"a":' + b"9" * 10_000 + b"}",
        b"\xff",
        b"[]",
        b"NaN",
        b'{"a":"\\ud800"}',
    ],
)
def test_what_is_no_object_is_a_broken_frame(payload: bytes) -> None:
    """By that one error, which ends the link."""
    with pytest.raises(FrameError):
        decode_json(payload)


def test_a_longest_honest_list_is_read() -> None:
    """Two hundred commands that run, and the last two hundred."""
    entry = {"request_id": "r" * 256, "command": ",[{" * 66, "status": "running", "pid": 1}
    message = {"event": "commands", "commands": [entry | {str(n): n for n in range(6)}] * 400}

    assert decode_json(json.dumps(message).encode()) == message
