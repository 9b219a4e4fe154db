"""A command that was signalled never looks like a success."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.commands.story import Story
from tests.support.clients import Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.rest_commands import finished, in_background

pytestmark = pytest.mark.engine

ROUNDS = 48
"""Of each kind. In 3 to 5 of 96 a child was hit first, and the shell got on to its end."""

STEPS = {
    "a child before the last": "echo up; sleep 30; echo on",
    "a loop": "echo up; for i in $(seq 300); do sleep 0.1; done; true",
    "nested shells": "echo up; bash -c 'bash -c \"sleep 30; true\"; true'; true",
    "a pipeline": "echo up; sleep 30 | cat | cat; true",
    "alternatives": "echo up; sleep 30 || sleep 0 || true; exit 0",
}


@pytest.fixture
def connection(shared_gateway: GatewayProcess, module_sandbox: str) -> Iterator[Connection]:
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


def _codes(
    connection: Connection, command: str, signal: str, rounds: int, at_once: int = 6
) -> dict[int, int]:
    """The return codes of so many commands, each signalled when it has printed `up`."""
    codes: Counter[int] = Counter()
    for first in range(0, rounds, at_once):
        stories = {
            f"{signal}-{number}": Story(f"{signal}-{number}")
            for number in range(first, min(first + at_once, rounds))
        }
        for request_id in stories:
            connection.ask(command, request_id=request_id, stream=True)
        signalled: set[str] = set()
        while not all(story.over for story in stories.values()):
            message = connection.receive()
            story = stories[message["request_id"]]
            story.take(message)
            if b"up" in story.stdout and story.request_id not in signalled:
                signalled.add(story.request_id)
                connection.send(
                    {"type": "signal", "request_id": story.request_id, "signal": signal}
                )
        codes.update(story.result["returncode"] for story in stories.values())
    return dict(codes)


@pytest.mark.parametrize(("signal", "code"), [("KILL", 137), ("TERM", 143), ("INT", 130)])
@pytest.mark.parametrize("steps", STEPS)
def test_a_signal_is_the_result(connection: Connection, steps: str, signal: str, code: int) -> None:
    """The shell must not get on to its next step because its child was hit first."""
    assert _codes(connection, STEPS[steps], signal, ROUNDS) == {code: ROUNDS}


@pytest.mark.parametrize("signal", ["KILL", "TERM"])
def test_a_signal_at_the_very_end_is_the_result_or_refused(
    shared_gateway: GatewayProcess, module_sandbox: str, signal: str
) -> None:
    """Taken by the gateway, it may not be followed by a success, however close the end was."""
    for number in range(24):
        request_id = f"end-{signal}-{number}"
        address = in_background(
            shared_gateway, module_sandbox, f"sleep 0.0{number % 6}; exit 0", request_id
        )
        answer = shared_gateway.post(f"{address}/signal", json={"signal": signal})
        assert answer.status_code in (204, 409), answer.text
        shown = eventually(lambda at=address: finished(shared_gateway, at))
        if answer.status_code == 204:
            assert shown["returncode"] == {"KILL": 137, "TERM": 143}[signal], number


@pytest.mark.parametrize(
    ("command", "signal", "code"),
    [
        ("trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done", "TERM", 0),
        ("trap 'exit 7' INT; echo up; while :; do sleep 0.1; done", "INT", 7),
        ("trap '' TERM; echo up; sleep 0.5 & wait; exit 0", "TERM", 0),
        ("trap ':' USR1; echo up; sleep 0.5; exit 0", "USR1", 0),
        ("echo up; sleep 0.3; exit 0", "WINCH", 0),
        ("echo up; sleep 0.3; exit 0", "CONT", 0),
    ],
)
def test_what_handles_a_signal_says_how_it_ended(
    connection: Connection, command: str, signal: str, code: int
) -> None:
    """A server that shuts down cleanly on TERM did so on purpose."""
    assert _codes(connection, command, signal, 6) == {code: 6}
