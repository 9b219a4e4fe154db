"""`once`: a request_id that never runs twice, however often and wherever it is sent."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.commands.story import Story, connected_to
from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

COMMAND = "echo started >> starts; sleep 0.7; echo out; echo err >&2; exit 6"


def _starts(gateway: GatewayProcess, sandbox: str) -> int:
    with connect(gateway, sandbox) as connection:
        return int(connection.output_of("cat starts 2>/dev/null | wc -l"))


def _same(first: dict, second: dict) -> None:
    for key in ("request_id", "command", "success", "output", "error", "returncode"):
        assert first[key] == second[key], key
    assert (first["output"], first["error"], first["returncode"]) == ("out\n", "err\n", 6)


def test_sent_again_it_returns_the_finished_result(gateway: GatewayProcess, sandbox: str) -> None:
    """A client that never saw the answer may ask again without doing the work twice."""
    with connect(gateway, sandbox) as connection:
        first = connection.run(COMMAND, request_id="key", once=True)
        second = connection.run(COMMAND, request_id="key", once=True)
    with connect(gateway, sandbox) as connection:
        third = connection.run(COMMAND, request_id="key", once=True)
    _same(first, second)
    _same(first, third)
    assert _starts(gateway, sandbox) == 1


def test_sent_again_while_it_runs_it_attaches(gateway: GatewayProcess, sandbox: str) -> None:
    """On the same connection, on another, and with stream: all get the one result."""
    with connect(gateway, sandbox) as one, connect(gateway, sandbox) as other:
        one.ask(COMMAND, request_id="key", once=True)
        one.ask(COMMAND, request_id="key", once=True)
        time.sleep(0.3)
        other.ask(COMMAND, request_id="key", once=True, stream=True)
        story = Story("key").read(other)
        _same(one.receive(), one.receive())
        _same(story.result, story.result)
    assert (story.stdout, story.stderr) == (b"out\n", b"err\n")
    assert _starts(gateway, sandbox) == 1


def test_two_connections_at_once_start_it_once(gateway: GatewayProcess, sandbox: str) -> None:
    """Retries race with what they retry."""
    with connect(gateway, sandbox) as one, connect(gateway, sandbox) as other:
        for connection in (one, other, one, other):
            connection.ask(COMMAND, request_id="key", once=True)
        results = [connection.receive() for connection in (one, other, one, other)]
    for result in results:
        _same(results[0], result)
    assert _starts(gateway, sandbox) == 1


def test_both_workers_at_once_start_it_once(gateway: GatewayProcess, sandbox: str) -> None:
    """The workers share no memory; the agent and the store decide between them."""
    workers = gateway.workers()
    assert len(workers) == 2
    connections = [connected_to(gateway, sandbox, worker) for worker in workers for _ in range(3)]

    def ask(connection: Connection, key: str) -> dict:
        command = f"echo x >> starts-{key}; echo {key}; sleep 0.2"
        return connection.run(command, request_id=key, once=True)

    with ThreadPoolExecutor(len(connections)) as pool:
        for number in range(10):
            key = f"race-{number}"
            results = list(pool.map(ask, connections, [key] * len(connections)))
            assert {(r.get("output"), r.get("returncode")) for r in results} == {(f"{key}\n", 0)}
    assert connections[0].output_of("cat starts-race-* | wc -l") == "10\n"


def test_it_is_found_again_after_the_gateway_was_killed(own_gateway) -> None:
    """The gateway may die between the start and the answer: that is what retries are for."""
    gateway = own_gateway().start_ready()
    sandbox = gateway.create()
    connection = connect(gateway, sandbox)
    connection.ask(COMMAND, request_id="key", once=True, stream=True)
    assert connection.receive()["type"] == "started"
    gateway.kill()
    gateway.start_ready()
    with connect(gateway, sandbox) as again:
        result = again.run(COMMAND, request_id="key", once=True)
    _same(result, result)
    assert _starts(gateway, sandbox) == 1


@pytest.mark.parametrize("finished", [True, False])
def test_after_the_agent_was_killed_it_is_lost_and_not_run_again(
    gateway: GatewayProcess, sandbox: str, finished: bool
) -> None:
    """Nobody knows any more how it ended; a second start would break the promise."""
    command = COMMAND if finished else "echo started >> starts; sleep 60"
    with connect(gateway, sandbox) as connection:
        if finished:
            _ = connection.run(command, request_id="key", once=True)
        else:
            connection.ask(command, request_id="key", once=True, stream=True)
            assert connection.receive()["type"] == "started"
        connection.ask("kill -9 -1", request_id="killer")
        lost = [connection.receive() for _ in range(1 if finished else 2)]
        assert {message.get("code") for message in lost} == {"command_lost"}, lost
        again = connection.run(command, request_id="key", once=True)
        assert again["type"] == "error", again
        assert (again["code"], again["request_id"]) == ("command_lost", "key")
        # The sandbox itself goes on.
        assert connection.output_of("echo fine") == "fine\n"
    assert _starts(gateway, sandbox) == 1


def test_once_needs_a_request_id(gateway: GatewayProcess, sandbox: str) -> None:
    """A generated id could never be sent again."""
    with connect(gateway, sandbox) as connection:
        assert connection.run("true", once=True)["code"] == "bad_request"


def test_without_once_the_same_request_id_runs_again(gateway: GatewayProcess, sandbox: str) -> None:
    """The core's clients reuse ids as they like."""
    with connect(gateway, sandbox) as connection:
        for _ in range(2):
            assert connection.run("echo x >> starts", request_id="same")["returncode"] == 0
    assert _starts(gateway, sandbox) == 2
