"""What is logged of refused requests: within a bound, on one line each."""

from __future__ import annotations

import gevent

from gateway.server.refusal_log import LINES_PER_S, LONGEST_LINE, RefusalLog


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
