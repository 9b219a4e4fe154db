"""What code shows, in the words of E2B's clients."""

from __future__ import annotations

import time

import pytest

from gateway.api.e2b.interpreter_results import message_of
from gateway.contexts.records import Began, Failed, Shown, Written


def test_results_have_a_field_for_each_type_and_the_rest_apart() -> None:
    data = {
        "text/plain": "'quoted'",
        "image/png": "aGk=",
        "application/json": {"a": 1},
        "application/vnd.sandbox.chart+json": {"type": "line"},
        "application/x-other": "o",
    }
    assert message_of(Shown(data, is_main=True)) == {
        "type": "result",
        "is_main_result": True,
        "text": "quoted",
        "png": "aGk=",
        "json": {"a": 1},
        "chart": {"type": "line"},
        "extra": {"application/x-other": "o"},
    }


@pytest.mark.parametrize(
    ("text", "told"), [('"a"', "a"), ("'", "'"), ("'a\"", "'a\""), ("''", ""), ("1", "1")]
)
def test_only_quotes_around_a_text_are_taken_off(text: str, told: str) -> None:
    assert message_of(Shown({"text/plain": text}, is_main=False))["text"] == told


def test_the_other_lines() -> None:
    """A timestamp is nanoseconds since the epoch."""
    assert message_of(Began(2)) == {"type": "number_of_executions", "execution_count": 2}
    written = message_of(Written("stderr", "x"))
    assert (written["type"], written["text"]) == ("stderr", "x")
    assert abs(written["timestamp"] - time.time_ns()) < 60 * 10**9
    failed = message_of(Failed("E", "v", "t"))
    assert failed == {"type": "error", "name": "E", "value": "v", "traceback": "t"}
