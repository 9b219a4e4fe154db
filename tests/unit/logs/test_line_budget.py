"""What others can cause is logged within a bound, and of what is left out there is the number."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from uuid import uuid4

import pytest

from gateway.logs.line_budget import LINES_PER_S, bounded_log
from gateway.server.refusal_log import LONGEST_LINE, RefusalLog
from tests.support.eventually import eventually


class Lines(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def kept() -> tuple[str, Lines]:
    """The name of a logger that nobody has used yet, and what it lets through."""
    name, lines = f"test-{uuid4().hex}", Lines()
    logging.getLogger(name).addHandler(lines)
    return name, lines


def _refused(name: str) -> Callable[[], None]:
    refusals = RefusalLog(logging.getLogger(name))
    said = "x\n2026 ERROR forged" * 1000
    return lambda: refusals.warning("Invalid request from ip=%s: %s", "127.0.0.1", said)


SAY: dict[str, Callable[[str], Callable[[], None]]] = {
    "a request that gunicorn refuses": _refused,
    "a request that fails": lambda name: lambda: bounded_log(name).warning("no: %s", "x"),
    "a greenlet that fails": lambda name: lambda: bounded_log(name).exception("it failed"),
}


@pytest.mark.parametrize("what", SAY)
def test_lines_that_others_cause_are_bounded(kept: tuple[str, Lines], what: str) -> None:
    """A thousand at once are as many as a second may have; a later line tells of the others."""
    name, logged = kept
    say = SAY[what](name)

    for _ in range(1000):
        say()
    at_once = len(logged.lines)

    assert LINES_PER_S <= at_once <= LINES_PER_S + 2
    for line in logged.lines:
        assert len(line) < 2 * LONGEST_LINE
        assert "\n" not in line

    def is_said_again() -> bool:
        say()
        return len(logged.lines) > at_once

    eventually(is_said_again)
    told = sum(int(found[1]) for found in map(_LEFT_OUT.search, logged.lines) if found)
    assert told >= 1000 - at_once


_LEFT_OUT = re.compile(r" \(and (\d+) more like it\)$")


def test_many_that_are_expected_hide_none_that_is_not(kept: tuple[str, Lines]) -> None:
    """Whoever causes warnings must not hide an error of the gateway's own."""
    name, logged = kept
    for _ in range(100):
        bounded_log(name).warning("the engine does not answer")

    bounded_log(name).error("a view failed unexpectedly")

    assert logged.lines[-1] == "a view failed unexpectedly"
