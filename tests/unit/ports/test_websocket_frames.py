"""Where frames end in a stream of bytes that comes in any pieces."""

from __future__ import annotations

import random

import pytest

from gateway.api.ports.websocket_frames import FrameEnds, close_frame


def frame(size: int, opcode: int = 2, masked: bool = False) -> bytes:
    """Its content is all ones, which as a head would be a close frame of great length."""
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes((0x80 | opcode, mask | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, mask | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, mask | 127)) + size.to_bytes(8, "big")
    return head + bytes(4 if masked else 0) + b"\xff" * size


STREAM = [
    *(frame(size, masked=masked) for size in (0, 1, 125, 126, 65535, 65536) for masked in (0, 1)),
    frame(3, opcode=9),
]


@pytest.mark.parametrize("largest", [1, 2, 7, 1000, 200_000])
def test_a_stream_in_pieces_is_at_an_end_where_frames_end(largest: int) -> None:
    chance = random.Random(largest)
    stream = b"".join(STREAM) if largest > 7 else b"".join(STREAM[:8])
    ends = {0}
    for one in STREAM:
        ends.add(max(ends) + len(one))
    frames, at = FrameEnds(), 0
    while at < len(stream):
        piece = stream[at : at + chance.randint(1, largest)]
        frames.passed(memoryview(piece))
        at += len(piece)
        assert (frames.missing == 0) == (at in ends)
        # Who reads no more than is missing never reads beyond the end.
        assert all(not at < end < at + frames.missing for end in ends)
    assert not frames.is_closed


def test_reading_what_is_missing_leads_to_the_end() -> None:
    """From any point within a frame."""
    one = frame(70_000, masked=True)
    for begin in (1, 2, 3, 9, 10, 13, 14, 15, 69_999):
        frames, at = FrameEnds(), begin
        frames.passed(one[:begin])
        while missing := frames.missing:
            frames.passed(one[at : at + missing])
            at += missing
        assert at == len(one)


def test_a_close_frame_is_noticed() -> None:
    """Nothing may follow it, also none of the gateway's own."""
    frames = FrameEnds()
    frames.passed(frame(5) + close_frame(1001))

    assert frames.is_closed
    assert frames.missing == 0
