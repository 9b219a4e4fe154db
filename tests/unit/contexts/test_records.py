"""What a sandbox says of an execution is taken for a stranger's word."""

from __future__ import annotations

import json

import pytest

from gateway.contexts.collected import Collected
from gateway.contexts.records import Began, Failed, Shown, Written, record_of
from gateway.contexts.service import demand_language
from gateway.errors import ContextsMissing, GatewayFull, ProtocolBroken, TooMuchUnread
from gateway.process.byte_budget import ByteBudget, Holding


def _line(**told: object) -> bytes:
    return json.dumps(told).encode()


def test_each_kind_of_record_is_read() -> None:
    assert record_of(_line(type="begin", execution_count=3)) == Began(3)
    assert record_of(_line(type="stderr", text="x")) == Written("stderr", "x")
    assert record_of(_line(type="result", data={"a/b": 1})) == Shown({"a/b": 1}, is_main=False)
    assert record_of(_line(type="error", name="n", value="v", traceback="t")) == Failed(
        "n", "v", "t"
    )
    assert record_of(_line(type="of a later version")) is None


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'"begin"',
        _line(type=1),
        _line(type="stdout", text=1),
        _line(type="error", name="n", value=None, traceback="t"),
        _line(type="result", data=[]),
        _line(type="result", data={str(number): 1 for number in range(65)}),
        b'{"type":"stdout","text":"\\ud800"}',
    ],
)
def test_what_is_none_is_the_sandboxes_fault(line: bytes) -> None:
    """And no error that nobody has foreseen."""
    with pytest.raises(ProtocolBroken):
        record_of(line)


@pytest.mark.parametrize("count", [True, -1, 2**60, "1", None])
def test_a_count_that_is_none_is_passed_over_as_unknown(count: object) -> None:
    assert record_of(_line(type="begin", execution_count=count)) is None


def _budget(size: int) -> ByteBudget:
    return ByteBudget(size, size, own_full=TooMuchUnread, all_full=GatewayFull)


def test_what_is_collected_is_cut_where_characters_end() -> None:
    """Each stream by itself, and results by their size as JSON; all of it is counted."""
    budget = _budget(1 << 20)
    collected = Collected(10, Holding(budget, "somebody"))
    collected.take(
        [
            Began(1),
            Written("stdout", "123456789"),
            Written("stdout", "é!"),
            Written("stderr", "e"),
            Shown({"a": "b"}, is_main=True),
            Shown({"a": "b"}, is_main=True),
            Failed("first", "", ""),
            Failed("second", "", ""),
        ]
    )
    assert collected.whole() == {
        "execution_count": 1,
        "stdout": "123456789",
        "stderr": "e",
        "results": [{"a": "b"}],
        "error": {"name": "first", "value": "", "traceback": ""},
        "truncated": {"stdout_bytes": 12, "stderr_bytes": 1, "results": 2},
    }
    assert budget.held > 0


def test_languages_without_a_kernel_are_refused() -> None:
    assert demand_language(None) == demand_language("Python3") == "python"
    with pytest.raises(ContextsMissing, match="'js'"):
        demand_language("js")
