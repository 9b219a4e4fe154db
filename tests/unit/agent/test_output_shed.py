"""Giving up the oldest output of a stream when a sandbox keeps too much in all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.agent.processes.output import BLOCK, OutputLog


def _log(size: int, head: int = 0, tail: int = 100 * BLOCK) -> OutputLog:
    log = OutputLog(head, tail)
    log.append(bytes(number % 251 for number in range(size)))
    return log


def test_the_oldest_go_first_and_whole_blocks_at_a_time() -> None:
    """What a client comes back for is the end."""
    log = _log(10 * BLOCK)
    assert log.shed(BLOCK + 1, log.size) == 2 * BLOCK
    assert log.first_kept(0) == 2 * BLOCK
    assert log.kept == 8 * BLOCK
    assert log.size == 10 * BLOCK


def test_the_head_and_the_last_block_stay() -> None:
    """A result with a head and a tail can be given whatever happens."""
    log = _log(5 * BLOCK, head=BLOCK)
    assert log.shed(10**9, log.size) == 3 * BLOCK
    assert log.read(0, 10) == bytes(range(10))
    assert log.first_kept(BLOCK) == 4 * BLOCK
    assert len(log.read(4 * BLOCK, BLOCK)) == BLOCK


def test_what_a_reader_still_needs_stays() -> None:
    """`before` is where the slowest of those that follow stands."""
    log = _log(10 * BLOCK)
    assert log.shed(10**9, 3 * BLOCK + 5) == 3 * BLOCK
    assert log.first_kept(0) == 3 * BLOCK
    assert log.shed(10**9, 3 * BLOCK + 5) == 0


def test_nothing_is_shed_where_there_is_nothing() -> None:
    """An empty stream, or one that is all head."""
    assert _log(0).shed(10**9, 0) == 0
    assert _log(100, head=BLOCK).shed(10**9, 100) == 0


@given(
    st.lists(st.integers(0, 3 * BLOCK), max_size=12),
    st.integers(0, 2 * BLOCK),
    st.integers(1, 6 * BLOCK),
    st.lists(st.tuples(st.integers(0, 5 * BLOCK), st.integers(0, 20 * BLOCK)), max_size=6),
)
def test_what_is_kept_is_true_and_bounded(
    appended: list[int], head: int, tail: int, sheds: list[tuple[int, int]]
) -> None:
    """Whatever order output and shedding come in: right bytes at right offsets, within bounds."""
    log, whole = OutputLog(head, tail), bytearray()
    for number, size in enumerate(appended):
        piece = bytes([number % 256]) * size
        log.append(piece)
        whole += piece
        if sheds:
            size, before = sheds[number % len(sheds)]
            kept = log.kept
            assert log.shed(size, before) == kept - log.kept
        assert log.size == len(whole)
        assert log.kept <= head + tail + BLOCK
    offset = 0
    while (offset := log.first_kept(offset)) < log.size:
        data = log.read(offset, BLOCK)
        assert data
        assert data == whole[offset : offset + len(data)]
        offset += len(data)
