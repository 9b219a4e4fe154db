"""Why a container stopped: a pure judgement of what is known of it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.engine.interface import ContainerInfo
from gateway.sandboxes.ending.end_reasons import GONE, Ending, ending_of


def _ending(
    *, oom_seen_s_ago: float | None = None, engine_was_away: bool = False, **known: Any
) -> Ending:
    usual = {"container_id": "c", "state": "exited", "labels": {}, "ip_address": None}
    container = ContainerInfo(**(usual | {"exit_code": 137} | known))
    return ending_of(container, oom_seen_s_ago=oom_seen_s_ago, engine_was_away=engine_was_away)


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        ({}, "exited"),
        ({"oom_killed": True}, "oom"),
        ({"oom_seen_s_ago": 0.1}, "oom"),
        ({"oom_seen_s_ago": 4.9}, "oom"),
        # A command ran out of memory long ago, for which the engine's mark stays for ever.
        ({"oom_seen_s_ago": 600.0, "oom_killed": True}, "exited"),
        ({"oom_seen_s_ago": 0.1, "exit_code": 0}, "exited"),
        ({"oom_killed": True, "exit_code": 143}, "exited"),
        ({"engine_was_away": True}, "engine_lost"),
        ({"engine_was_away": True, "exit_code": 0}, "engine_lost"),
        ({"engine_was_away": True, "oom_seen_s_ago": 1.0}, "oom"),
        ({"state": "removing"}, "engine_lost"),
        ({"state": "dead"}, "engine_lost"),
    ],
)
def test_reasons(known: dict[str, Any], reason: str) -> None:
    """Want of memory is told apart from a kill, and both from an engine that went away."""
    assert _ending(**known).reason == reason


@pytest.mark.parametrize(
    ("exit_code", "word"), [(0, "ended with 0"), (3, "ended with 3"), (143, "signal 15")]
)
def test_the_detail_says_how(exit_code: int, word: str) -> None:
    """For people; the code is told as a number too."""
    end = _ending(exit_code=exit_code)
    assert word in end.detail
    assert end.exit_code == exit_code


def test_what_was_removed_has_no_exit_code() -> None:
    assert "removed" in GONE.detail
    assert GONE.exit_code is None
