"""Bodies as gzip, however they are cut into pieces."""

from __future__ import annotations

import gzip
import random

import pytest

from gateway.api.bodies.gzip_coding import PIECE_BYTES, packed, unpacked
from gateway.errors import BadRequest, TooLarge

MOST = 1 << 30
CONTENTS = (
    *(b"", b"x", random.Random(1).randbytes(300_000), bytes(3_000_000)),
    *(bytes(PIECE_BYTES), bytes(2 * PIECE_BYTES)),
)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("content", CONTENTS, ids=len)
@pytest.mark.parametrize("size", [100, 7001, 1 << 24])
def test_what_is_unpacked_is_what_was_packed(content: bytes, size: int) -> None:
    """Also of several members, one after the other (RFC 1952, section 2.2)."""
    made = gzip.compress(content) + gzip.compress(b"and more")

    assert b"".join(unpacked(cut(made, size), MOST)) == content + b"and more"
    assert gzip.decompress(b"".join(packed(cut(content, size)))) == content


@pytest.mark.parametrize("broken", [b"", b"abc", gzip.compress(b"abc")[:-3]])
def test_what_is_no_gzip_is_the_clients_fault(broken: bytes) -> None:
    """And so is what ends too early: nobody takes a part for the whole."""
    with pytest.raises(BadRequest):
        list(unpacked([broken], MOST))


def test_a_bomb_is_unpacked_no_further_than_the_bound() -> None:
    """And never more at a time than one piece."""
    taken: list[int] = []
    pieces = unpacked([gzip.compress(bytes(50_000_000))], 1_000_000)
    with pytest.raises(TooLarge):
        taken.extend(map(len, pieces))

    assert max(taken) <= PIECE_BYTES
    assert sum(taken) <= 1_000_000
