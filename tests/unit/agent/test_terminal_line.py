"""The lines of terminals: never longer than the kernel takes, and told where they would be."""

from __future__ import annotations

import os
import pty
import termios
import time
import tty
from collections.abc import Callable, Iterator

import pytest

from gateway.agent.processes import stdin as module
from gateway.agent.processes.stdin import LineTooLong, Stdin
from gateway.agent.processes.terminal_line import LONGEST_LINE
from tests.support.eventually import eventually


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """(the agent's side, non-blocking; the program's side, without echo)."""
    ours, theirs = pty.openpty()
    modes = termios.tcgetattr(theirs)
    modes[3] &= ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, modes)
    os.set_blocking(ours, False)
    os.set_blocking(theirs, False)
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LINE_GRACE_S", 0.05)


class Writer:
    """Writes to a terminal as the agent does, and reads on its other side."""

    def __init__(self, terminal: tuple[int, int]) -> None:
        self.stdin = Stdin(terminal[0], terminal=True)
        self._theirs = terminal[1]
        self.answers: list[str] = []
        self.got = b""

    def write(self, data: bytes) -> None:
        number = b"%d" % (len(self.answers) + 1)
        accept: Callable[[], None] = lambda: self.answers.append("accepted")  # noqa: E731
        refuse: Callable[[], None] = lambda: self.answers.append("too long")  # noqa: E731
        self.stdin.write(number + os.urandom(4), data, False, accept, refuse)

    def turn(self) -> None:
        assert self.stdin.flush()
        while True:
            try:
                self.got += os.read(self._theirs, 65536)  # a line at a time
            except BlockingIOError:
                return

    def until(self, wanted: Callable[[], bool]) -> None:
        def holds() -> bool:
            self.turn()
            return wanted()

        eventually(holds, within_s=10)


@pytest.mark.parametrize(
    "data",
    [
        b"x" * LONGEST_LINE + b"\n",
        b"x" * LONGEST_LINE + b"\r",
        (b"y" * 4000 + b"\n") * 30,
        b"\n" * 9000,
        b"z" * LONGEST_LINE + b"\x04" + b"z" * 100 + b"\n",
    ],
    ids=["longest", "return", "many", "empty", "end-of-file"],
)
def test_lines_that_fit_arrive_whole(terminal: tuple[int, int], data: bytes) -> None:
    """However many they are, and whatever ends them."""
    writer = Writer(terminal)
    writer.write(data)
    wanted = data.replace(b"\r", b"\n").replace(b"\x04", b"")
    writer.until(lambda: len(writer.got) >= len(wanted))
    assert (writer.got, writer.answers) == (wanted, ["accepted"])


@pytest.mark.parametrize(
    "pieces",
    [
        [b"x" * (LONGEST_LINE + 1) + b"\n"],
        [b"x" * 3000, b"x" * 1096],
        [b"ok\n" + b"x" * 5000 + b"\n"],
        [b"x" * 100_000],
    ],
    ids=["by-one", "in-two", "second", "no-end"],
)
def test_a_line_that_would_be_cut_is_refused(
    terminal: tuple[int, int], pieces: list[bytes]
) -> None:
    """The kernel drops what comes after 4,095 bytes, and nobody would know."""
    writer = Writer(terminal)
    for piece in pieces:
        writer.write(piece)
    writer.until(lambda: "too long" in writer.answers)
    assert writer.answers == ["accepted"] * (len(pieces) - 1) + ["too long"]
    writer.write(b"\nafter\n")
    writer.until(lambda: writer.got.endswith(b"after\n"))


def test_a_program_without_lines_takes_any_length(terminal: tuple[int, int]) -> None:
    """Editors, and whatever runs `stty raw`."""
    tty.setraw(terminal[1])
    writer = Writer(terminal)
    data = os.urandom(50_000)
    writer.write(data)
    writer.until(lambda: len(writer.got) >= len(data))
    assert (writer.got, writer.answers) == (data, ["accepted"])


def test_a_line_waits_a_moment_for_the_program_to_take_it(
    terminal: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line before may have started that program just now."""
    monkeypatch.setattr(module, "LINE_GRACE_S", 10)
    writer = Writer(terminal)
    writer.write(b"x" * 9000)
    writer.turn()
    assert writer.answers == []
    tty.setraw(terminal[1])
    writer.until(lambda: writer.got == b"x" * 9000)
    assert writer.answers == ["accepted"]


def test_what_was_cut_after_all_is_told_with_the_next_write(terminal: tuple[int, int]) -> None:
    """A program that goes back to lines with a long one on its way."""
    writer = Writer(terminal)
    tty.setraw(terminal[1])
    modes = termios.tcgetattr(terminal[1])
    writer.write(b"x" * 20_000 + b"\nnext\n")
    writer.turn()
    modes[0] |= termios.ICRNL
    modes[3] |= termios.ICANON
    termios.tcsetattr(terminal[1], termios.TCSANOW, modes)
    writer.until(lambda: writer.got.endswith(b"\nnext\n"))
    with pytest.raises(LineTooLong):
        writer.write(b"more\n")
    writer.write(b"more\n")
    writer.until(lambda: writer.got.endswith(b"\nmore\n"))


def test_a_line_as_long_as_a_buffer_is_looked_through_fast(terminal: tuple[int, int]) -> None:
    """The agent has one thread: it must not stand still for one write."""
    writer = Writer(terminal)
    began = time.process_time()
    writer.write(b"ab\n" * 40_000)
    assert time.process_time() - began < 1
