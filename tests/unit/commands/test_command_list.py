"""An agent's list of commands: it may say anything, of any length."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.commands.command_list import LONGEST, summaries_of
from gateway.errors import CommandLost
from gateway.schemas.event_encoder import encode_message

HONEST = {
    "request_id": "r1",
    "command": "sleep 1",
    "status": "finished",
    "pid": 42,
    "started_at": 1648371234,
    "returncode": 0,
    "session": None,
    "stdout": 3,
    "stderr": 0,
}


def test_an_honest_list_is_told() -> None:
    """As long as an agent makes it."""
    listed = summaries_of({"commands": [HONEST] * LONGEST})

    assert len(listed) == LONGEST
    assert (listed[0].request_id, listed[0].stdout_bytes, listed[0].pid) == ("r1", 3, 42)
    assert b'"started_at":1648371234' in encode_message(listed[0])


@pytest.mark.parametrize(
    "changed",
    [
        {"pid": 2**70},
        {"pid": True},
        {"stdout": 2**70},
        {"stderr": -1},
        {"returncode": 2**70},
        {"command": "x" * 201},
        {"request_id": "x" * 257},
        {"request_id": 1},
        {"session": "x" * 65},
        {"started_at": float("nan")},
        {"status": "x"},
        {"status": []},
    ],
)
def test_what_no_agent_says_is_no_list(changed: dict[str, Any]) -> None:
    """Numbers that no message can hold, texts that no client sent."""
    with pytest.raises(CommandLost):
        summaries_of({"commands": [HONEST | changed]})


@pytest.mark.parametrize(
    "listed", [None, {}, "x", [None], [[]], [{}], [HONEST] * (LONGEST + 1), [1] * 100_000]
)
def test_what_is_no_list_is_refused(listed: object) -> None:
    """By its length before its entries are looked at."""
    with pytest.raises(CommandLost):
        summaries_of({"commands": listed})
