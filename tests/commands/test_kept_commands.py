"""A finished command is kept for its ten minutes, whatever number of others follows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess
from tests.support.rest_commands import result_of, run

pytestmark = pytest.mark.engine

FOLLOWING = 1100
"""A thousand were the most that were kept."""


@pytest.fixture(scope="module")
def busy(shared_gateway: GatewayProcess) -> Iterator[str]:
    """A sandbox in which many commands have run since three that are asked for again."""
    sandbox_id = shared_gateway.create()
    result_of(shared_gateway, sandbox_id, "echo first", request_id="first")
    result_of(shared_gateway, sandbox_id, "echo once $RANDOM", request_id="key", once=True)
    result_of(shared_gateway, sandbox_id, "echo s", request_id="in-session", session="s")
    with connect(shared_gateway, sandbox_id) as connection:
        _follow(connection, FOLLOWING)
    yield sandbox_id
    shared_gateway.delete(f"/sandboxes/{sandbox_id}")


def _follow(connection: Connection, count: int) -> None:
    sent = received = 0
    while received < count:
        while sent < count and sent - received < 32:
            connection.ask(":", request_id=f"f{sent}")
            sent += 1
        assert connection.receive()["returncode"] == 0
        received += 1


@pytest.mark.parametrize(
    ("request_id", "output"), [("first", "first\n"), ("in-session", "s\n"), ("f0", "")]
)
def test_a_result_is_there_after_a_thousand_others(
    shared_gateway: GatewayProcess, busy: str, request_id: str, output: str
) -> None:
    """The promise is in minutes; how many run meanwhile is nobody's to know."""
    shown = shared_gateway.get(f"/sandboxes/{busy}/commands/{request_id}")
    assert shown.status_code == 200, shown.text
    assert shown.json()["status"] == "finished"
    read = shared_gateway.get(f"/sandboxes/{busy}/commands/{request_id}/output")
    assert (read.status_code, read.text) == (200, output)


def test_an_idempotency_key_finds_its_result_after_a_thousand_others(
    shared_gateway: GatewayProcess, busy: str
) -> None:
    """A client that was away for a minute asks again, and gets what it missed."""
    answers = {
        run(shared_gateway, busy, "echo once $RANDOM", request_id="key", once=True).text
        for _ in range(2)
    }
    assert all('"returncode":0' in answer.replace(" ", "") for answer in answers), answers


def test_many_small_commands_cost_what_they_keep(shared_gateway: GatewayProcess, busy: str) -> None:
    """What is kept is bounded in bytes, so each counts with what it really takes."""
    (agent,) = shared_gateway.engine.agents(busy)
    before = agent.memory_info().rss
    with connect(shared_gateway, busy) as connection:
        _follow(connection, 500)
    assert (agent.memory_info().rss - before) / 500 < 8192
