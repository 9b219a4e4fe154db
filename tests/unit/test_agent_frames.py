"""The wire format: what was sent is what arrives, however the stream is cut; garbage is refused."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.protocol import frames, streams
from gateway.protocol.frames import Decoder, FrameError

CHANNELS = st.integers(0, 2**32 - 1)
FRAMES = st.tuples(st.sampled_from(sorted(frames.KINDS)), CHANNELS, st.binary(max_size=300))


def _cut(stream: bytes, at: list[int]) -> list[bytes]:
    borders = sorted({min(border, len(stream)) for border in at} | {0, len(stream)})
    return [stream[a:b] for a, b in itertools.pairwise(borders)]


@given(sent=st.lists(FRAMES, max_size=20), at=st.lists(st.integers(0, 8000), max_size=40))
def test_any_splitting_gives_the_same_frames(
    sent: list[tuple[int, int, bytes]], at: list[int]
) -> None:
    """A stream has no borders: pieces may hold half a header or twenty frames."""
    stream = b"".join(frames.encode(*frame) for frame in sent)
    decoder = Decoder()

    received = [frame for piece in _cut(stream, at) for frame in decoder.feed(piece)]

    assert received == sent


@given(pieces=st.lists(st.binary(max_size=200), max_size=30))
def test_garbage_raises_frame_error_only(pieces: list[bytes]) -> None:
    """The agent is on the tenant's side: whatever it sends must not end the reader otherwise."""
    decoder = Decoder(max_payload=1000)

    try:
        received = [frame for piece in pieces for frame in decoder.feed(piece)]
    except FrameError:
        return
    for kind, _channel, payload in received:
        assert kind in frames.KINDS
        assert len(payload) <= 1000


@pytest.mark.parametrize("size", [1001, 2**31, 2**32 - 1])
def test_a_frame_over_the_limit_is_refused_by_its_header(size: int) -> None:
    """Before a byte of it is waited for, or memory is set aside."""
    header = size.to_bytes(4, "big") + bytes([frames.DATA]) + bytes(4)

    with pytest.raises(FrameError):
        Decoder(max_payload=1000).feed(header)


@pytest.mark.parametrize("kind", [0, 8, 255])
def test_an_unknown_kind_is_refused(kind: int) -> None:
    """Nothing that follows could be understood."""
    with pytest.raises(FrameError):
        Decoder().feed(frames.encode(kind, 1, b""))


@given(channel=CHANNELS, stream=st.integers(0, 255), offset=st.integers(0, 2**64 - 1))
def test_data_carries_stream_offset_and_bytes(channel: int, stream: int, offset: int) -> None:
    """Offsets count raw bytes and may pass 4 GiB."""
    [(kind, got_channel, payload)] = Decoder().feed(
        frames.encode_data(channel, stream, offset, b"some output")
    )

    assert (kind, got_channel) == (frames.DATA, channel)
    assert frames.decode_data(payload) == (stream, offset, b"some output")


@given(count=st.integers(0, 2**32 - 1))
def test_credit_carries_stream_and_count(count: int) -> None:
    """Credit is what bounds memory on both sides."""
    [(kind, _, payload)] = Decoder().feed(
        frames.encode_credit(7, streams.STDERR, count, count // 2)
    )

    assert kind == frames.CREDIT
    assert frames.decode_credit(payload) == (streams.STDERR, count, count // 2)


@given(body=st.binary(max_size=300), text=st.text(st.characters(exclude_categories=["Cs"])))
def test_an_open_carries_raw_bytes_beside_its_message(body: bytes, text: str) -> None:
    """Input of a command is not packed into JSON; none is the same as no input."""
    message = {"op": text, frames.BODY: body}
    [(kind, channel, payload)] = Decoder().feed(frames.encode_open(9, message))

    assert (kind, channel) == (frames.OPEN, 9)
    assert frames.decode_open(payload) == (message if body else {"op": text})


@given(payload=st.binary(max_size=60))
def test_decoders_of_payloads_raise_frame_error_only(payload: bytes) -> None:
    """Each payload comes from the other side of the wall."""
    decoders = (frames.decode_json, frames.decode_open, frames.decode_data, frames.decode_credit)
    for decode in decoders:
        try:
            decode(payload)
        except FrameError:
            pass


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b"[]",
        b"1",
        b"null",
        b"",
        b"{",
        b"\xff",
        b'{"a": ' + b"9" * 10_000 + b"}",
    ],
    ids=["deep", "deep object", "list", "number", "null", "empty", "cut", "bytes", "huge number"],
)
def test_json_that_is_no_plain_object_is_refused(payload: bytes) -> None:
    """Depth, other types, numbers that take quadratic time to read."""
    with pytest.raises(FrameError):
        frames.decode_json(payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(message=st.dictionaries(st.text(), JSON, max_size=5))
def test_json_passes_unchanged(message: dict) -> None:
    """Commands hold any text."""
    [(_, _, payload)] = Decoder().feed(frames.encode_json(frames.OPEN, 3, message))

    assert frames.decode_json(payload) == message == json.loads(payload)


def test_a_long_payload_in_small_pieces_takes_linear_time() -> None:
    """16 MiB in pieces of 4 KiB: a decoder that copied its buffer each time would take minutes."""
    whole = frames.encode(frames.OPEN, 1, b"x" * frames.MAX_PAYLOAD)
    decoder = Decoder()
    received = []

    for at in range(0, len(whole), 4096):
        received += decoder.feed(whole[at : at + 4096])

    assert len(received) == 1
