"""The buffer before a command's input: in order, each write once, then the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from gateway.agent.processes.stdin import BUFFER_BYTES, END_OF_FILE, Stdin, StdinClosed


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """(read end, non-blocking write end)."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            pass  # the test has closed it


def _nothing() -> None:
    pass


def _drain(stdin: Stdin, reading: int) -> bytes:
    """All that comes while the reader reads and the buffer is flushed in turn."""
    got = bytearray()
    while True:
        assert stdin.flush()
        try:
            piece = os.read(reading, 65536)
        except BlockingIOError:
            return bytes(got)
        got += piece


def test_writes_come_in_order(pipe: tuple[int, int]) -> None:
    """Also those that had to wait for room."""
    reading, writing = pipe
    stdin = Stdin(writing, terminal=False)
    pieces = [bytes([number]) * 100_000 for number in range(10)]
    for number, piece in enumerate(pieces):
        stdin.write(str(number), piece, False, _nothing)
    assert _drain(stdin, reading) == b"".join(pieces)
    assert not stdin.wants_to_write


def test_a_write_that_is_sent_again_is_written_once(pipe: tuple[int, int]) -> None:
    """A link that breaks before the answer makes the gateway ask again."""
    reading, writing = pipe
    stdin = Stdin(writing, terminal=False)
    answers: list[str] = []
    stdin.write("a", b"once", False, lambda: answers.append("first"))
    stdin.write("a", b"once", False, lambda: answers.append("second"))
    assert _drain(stdin, reading) == b"once"
    assert answers == ["first", "second"]


def test_the_end_that_is_sent_again_is_no_error(pipe: tuple[int, int]) -> None:
    """The last write is as likely as any to lose its answer."""
    reading, writing = pipe
    stdin = Stdin(writing, terminal=False)
    answers: list[int] = []
    for _ in range(2):
        stdin.write("last", b"x", True, lambda: answers.append(1))
    assert len(answers) == 2
    assert _drain(stdin, reading) == b"x"
    assert stdin.at_end


def test_writers_wait_while_the_buffer_is_full(pipe: tuple[int, int]) -> None:
    """A command that does not read must not fill the agent's memory."""
    reading, writing = pipe
    stdin = Stdin(writing, terminal=False)
    accepted: list[int] = []
    for number in range(8):
        stdin.write(
            str(number), b"x" * (BUFFER_BYTES // 2), False, lambda n=number: accepted.append(n)
        )
    assert accepted == [0, 1]
    _drain(stdin, reading)
    assert accepted == list(range(8))


def test_a_repeated_write_that_still_waits_is_written_once(pipe: tuple[int, int]) -> None:
    """Its first answer may come late; the bytes still go in once."""
    reading, writing = pipe
    stdin = Stdin(writing, terminal=False)
    stdin.write("full", b"x" * BUFFER_BYTES, False, _nothing)
    stdin.write("waits", b"w", False, _nothing)
    stdin.write("waits", b"w", False, _nothing)
    assert _drain(stdin, reading) == b"x" * BUFFER_BYTES + b"w"


def test_after_the_end_nothing_is_taken(pipe: tuple[int, int]) -> None:
    """The end was the end."""
    _reading, writing = pipe
    stdin = Stdin(writing, terminal=False)
    stdin.write("a", b"", True, _nothing)
    with pytest.raises(StdinClosed):
        stdin.write("b", b"more", False, _nothing)


def test_the_end_waits_for_what_stands_before_it(pipe: tuple[int, int]) -> None:
    """Closing early would cut the input off."""
    reading, writing = pipe
    stdin = Stdin(writing, terminal=False)
    stdin.write("a", b"x" * 500_000, True, _nothing)
    assert stdin.flush()
    assert not stdin.at_end
    assert len(_drain(stdin, reading)) == 500_000
    assert stdin.at_end


def test_the_end_on_a_terminal_is_a_character(pipe: tuple[int, int]) -> None:
    """A terminal is not closed; its line discipline makes an end of Ctrl-D, and input goes on."""
    reading, writing = pipe
    stdin = Stdin(writing, terminal=True)
    stdin.write("a", b"line\n", True, _nothing)
    stdin.write("b", b"more", False, _nothing)
    assert _drain(stdin, reading) == b"line\n" + END_OF_FILE + b"more"
    assert not stdin.at_end


def test_a_reader_that_is_gone_ends_it(pipe: tuple[int, int]) -> None:
    """`head` may close its input; that is no error of the writer's."""
    reading, writing = pipe
    stdin = Stdin(writing, terminal=False)
    os.close(reading)
    stdin.write("a", b"x", False, _nothing)
    assert stdin.flush() is False


def test_abandoned_writers_are_answered(pipe: tuple[int, int]) -> None:
    """Or they would wait for ever for a command that has ended."""
    _reading, writing = pipe
    stdin = Stdin(writing, terminal=False)
    answered: list[int] = []
    for number in range(5):
        stdin.write(str(number), b"x" * BUFFER_BYTES, False, lambda n=number: answered.append(n))
    stdin.abandon()
    assert answered == list(range(5))
    with pytest.raises(StdinClosed):
        stdin.write("late", b"x", False, _nothing)
