"""Envelopes of Connect's streams: cut anywhere, bounded, and refused where they are none."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.e2b.envelopes import COMPRESSED, DATA, END, MESSAGE_BYTES, enveloped, messages_in
from gateway.api.e2b.rpc_errors import RpcError


def test_an_envelope_is_flags_length_and_the_message() -> None:
    """Clients of other makers read these bytes."""
    assert enveloped(b"{}", END) == b"\x02\x00\x00\x00\x02{}"
    assert enveloped(b"abc") == b"\x00\x00\x00\x00\x03abc"


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(1, 7))
def test_borders_of_pieces_mean_nothing(messages: list[bytes], size: int) -> None:
    """Proxies cut a body anew."""
    sent = b"".join(enveloped(message) for message in messages)
    pieces = [sent[at : at + size] for at in range(0, len(sent), size)]
    assert list(messages_in(pieces)) == messages


def test_a_message_is_told_before_the_next_piece_is_asked_for() -> None:
    """Whoever types waits for what was typed, not for the next key."""

    def pieces() -> object:
        yield enveloped(b"1")
        pytest.fail("more was asked for")

    assert next(messages_in(pieces())) == b"1"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (struct.pack("!BI", DATA, MESSAGE_BYTES + 1), "resource_exhausted"),
        (b"\x00\xff\xff\xff\xff", "resource_exhausted"),
        (bytes([COMPRESSED]), "invalid_argument"),
        (bytes([END]) + bytes(4), "invalid_argument"),
        (b"\x80\x00\x00\x00\x00", "invalid_argument"),
        (b"\x00\x00", "invalid_argument"),
        (enveloped(b"abc")[:-1], "invalid_argument"),
        (b'{"process":{}}', "invalid_argument"),
    ],
)
def test_what_is_no_envelope_is_refused(sent: bytes, code: str) -> None:
    """By its head alone, so that nothing of it has to be held."""
    with pytest.raises(RpcError) as refused:
        list(messages_in([sent]))
    assert refused.value.code == code
