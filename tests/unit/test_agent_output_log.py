"""The agent's retained output against a model that simply keeps everything."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.agent.processes.output import BLOCK, OutputLog

HEAD = 1000
TAIL = 3 * BLOCK

SIZES = st.one_of(
    st.integers(0, 50),
    st.sampled_from([HEAD - 1, HEAD, HEAD + 1, BLOCK - 1, BLOCK, BLOCK + 1, TAIL, 5 * BLOCK]),
    st.integers(0, 2 * BLOCK),
)


def _log(sizes: list[int]) -> tuple[OutputLog, bytes]:
    """A log that was written to in pieces, and all that was written."""
    log, model = OutputLog(HEAD, TAIL), bytearray()
    for number, size in enumerate(sizes):
        piece = bytes((number + at) % 251 for at in range(min(size, 64))) * (size // 64 + 1)
        log.append(piece[:size])
        model += piece[:size]
    return log, bytes(model)


@given(sizes=st.lists(SIZES, max_size=12), offset=st.integers(0, 12 * BLOCK))
def test_what_can_be_read_is_what_was_written(sizes: list[int], offset: int) -> None:
    """From any offset to the end: every retained byte once, in order."""
    log, model = _log(sizes)
    assert log.size == len(model)

    at = log.first_kept(offset)
    while piece := log.read(at, 10_000):
        assert piece == model[at : at + len(piece)]
        assert len(piece) <= 10_000
        at = log.first_kept(at + len(piece))

    assert at >= log.size


@given(sizes=st.lists(SIZES, max_size=12))
def test_head_and_tail_are_always_kept(sizes: list[int]) -> None:
    """The first and the last bytes are what people look for."""
    log, model = _log(sizes)

    for offset in (0, min(HEAD, log.size), max(HEAD, log.size - TAIL)):
        if offset < min(HEAD, log.size) or offset >= log.size - TAIL:
            assert log.first_kept(min(offset, log.size)) == min(offset, log.size)
    assert log.read(0, HEAD) == model[:HEAD]


@given(sizes=st.lists(SIZES, max_size=12))
def test_memory_is_bounded(sizes: list[int]) -> None:
    """Whatever a command prints: head, tail and one block."""
    log, _ = _log(sizes)

    assert log.kept <= HEAD + TAIL + BLOCK
    assert log.kept == sum(len(b) for b in log._blocks) + len(log._head)


@given(sizes=st.lists(SIZES, max_size=12), offset=st.integers(0, 12 * BLOCK))
def test_first_kept_never_goes_back_and_is_stable(sizes: list[int], offset: int) -> None:
    """A reader that skips a gap must not be sent anything twice."""
    log, _ = _log(sizes)

    kept = log.first_kept(offset)

    assert kept >= min(offset, log.size)
    assert log.first_kept(kept) == kept


def test_byte_by_byte_costs_no_object_per_byte() -> None:
    """A program that writes single characters is a common one."""
    log = OutputLog(HEAD, TAIL)
    for _ in range(BLOCK + HEAD):
        log.append(b"x")

    assert len(log._blocks) <= 2
    assert log.size == BLOCK + HEAD
