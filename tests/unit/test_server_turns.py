"""Whoever always has something to do lets those run who wait for a socket."""

from __future__ import annotations

import gevent
from gevent import socket

from gateway.server.refusal_log import LINES_PER_S, LONGEST_LINE, RefusalLog
from gateway.server.turns import Turns


def test_a_socket_is_looked_at_between_turns() -> None:
    """`gevent.sleep(0)` alone runs only what is ready already."""
    ours, theirs = socket.socketpair()
    turns, taken = Turns(), []

    def be_busy() -> None:
        while not taken or taken[-1] >= 0:
            turns.give()
            taken.append(len(taken))

    with ours, theirs, gevent.Timeout(5):
        busy = [gevent.spawn(be_busy) for _ in range(3)]
        waiting = gevent.spawn(ours.recv, 1)
        gevent.sleep(0.01)
        theirs.send(b"x")
        assert waiting.get() == b"x"
        gevent.killall(busy)


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, message: str, *arguments: object) -> None:
        self.lines.append(message % arguments)


def test_refusals_are_logged_within_a_bound() -> None:
    """Anybody can cause them; of those that are left out there is the number."""
    log = Log()
    refusals = RefusalLog(log)

    for _ in range(1000):
        refusals.warning("Invalid request from ip=127.0.0.1: " + "x\n2026 ERROR forged" * 1000)

    assert LINES_PER_S <= len(log.lines) <= LINES_PER_S + 2
    for line in log.lines:
        assert len(line) < 2 * LONGEST_LINE
        assert "\n" not in line


def test_a_later_line_says_how_many_were_left_out() -> None:
    """So that a flood is not taken for a few."""
    log = Log()
    refusals = RefusalLog(log)
    for _ in range(100):
        refusals.warning("bad")
    gevent.sleep(1.1 / LINES_PER_S)

    refusals.warning("bad")

    assert log.lines[-1].startswith("bad (and ")
