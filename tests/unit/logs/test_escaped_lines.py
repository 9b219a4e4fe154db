"""Whoever's words are logged, a record is one line, and a traceback is marked as one."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest
from gunicorn.config import Config
from hypothesis import given
from hypothesis import strategies as st

from gateway.logs.escaped_lines import LONGEST_MESSAGE, LONGEST_TRACE, OneLine, escaped
from gateway.server.gunicorn_log import GunicornLog

FORGED = "x\n2026-01-01 00:00:00,000 [1] INFO gateway: all is well"


@pytest.fixture
def logged() -> Iterator[tuple[logging.Logger, io.StringIO]]:
    """A logger, and what it has written."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(OneLine("%(levelname)s %(name)s: %(message)s"))
    log = logging.Logger("test")  # noqa: LOG001  (of this test alone)
    log.addHandler(handler)
    yield log, written
    handler.close()


@given(st.text(max_size=100))
def test_any_text_is_one_line_for_everybody(text: str) -> None:
    """For `splitlines`, which knows ten ends of lines, for a terminal, and for UTF-8."""
    line = escaped(text)

    assert len(line.splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in line)
    assert line.encode().decode() == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (FORGED, FORGED.replace("\n", "\\n")),
        ("a\r\nb\tc", "a\\r\\nb\\tc"),
        ("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07"),
        ("\x9b31m\x7f", "\\x9b31m\\x7f"),
        ("\u2028\u2029\x85\x0b\x0c", "\\u2028\\u2029\\x85\\x0b\\x0c"),
        ("\u202eevil\u2066", "\\u202eevil\\u2066"),
        ("\ud800", "\\ud800"),
        ("沙箱 é 🙂", "沙箱 é 🙂"),
    ],
)
def test_what_is_dangerous_is_written_out(text: str, line: str) -> None:
    """Other languages stay readable."""
    assert escaped(text) == line


@pytest.mark.parametrize("arguments", [("%s", FORGED), (FORGED,), ("a %r %s", 1, FORGED * 1000)])
def test_a_record_is_one_line_of_bounded_length(
    logged: tuple[logging.Logger, io.StringIO], arguments: tuple[object, ...]
) -> None:
    """In the message or in its arguments."""
    log, written = logged
    log.warning(*arguments)

    [line] = written.getvalue().splitlines()
    assert line.startswith("WARNING test: ")
    assert len(line) < 2 * LONGEST_MESSAGE


def test_no_line_of_a_traceback_begins_with_an_exceptions_words(
    logged: tuple[logging.Logger, io.StringIO],
) -> None:
    """They may be an agent's. Where it happened stays readable."""
    log, written = logged
    try:
        raise ValueError(FORGED + "\x1b[2J" + FORGED * 1000)
    except ValueError:
        log.exception("it failed: %s", FORGED)

    first, *trace = written.getvalue().splitlines()
    assert first.startswith("ERROR test: it failed: x\\n2026")
    assert trace
    assert all(line.startswith("  | ") for line in trace)
    assert "\x1b" not in written.getvalue()
    assert len(written.getvalue()) < LONGEST_TRACE + 2 * LONGEST_MESSAGE


def test_gunicorns_own_log_is_written_in_the_same_lines() -> None:
    """It quotes requests that it cannot read."""
    log = GunicornLog(Config())
    try:
        formatters = [handler.formatter for handler in log.error_log.handlers]
        assert formatters
        assert all(isinstance(formatter, OneLine) for formatter in formatters)
    finally:
        log.error_log.handlers.clear()
        log.access_log.handlers.clear()
