"""Which commands there are over REST, how they stand and how they ended."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from gateway.errors import (
    FeatureMissing,
)
from tests.unit.api.rest.fake_commands import FakeCommands

RUN = "/sandboxes/a1/commands"


def test_commands_are_listed_as_a_bare_array(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """Nulls included: a command that runs has no return code yet."""
    assert client.get(RUN).json == []

    commands.add("r1", "first").end(7)
    commands.add("r2", "second").write(b"12345")

    listed = client.get(RUN).json
    assert [(one["request_id"], one["status"], one["returncode"]) for one in listed] == [
        ("r1", "finished", 7),
        ("r2", "running", None),
    ]
    assert listed[1] == {
        "request_id": "r2",
        "command": "second",
        "status": "running",
        "pid": 42,
        "started_at": 1648371234.567,
        "returncode": None,
        "session": None,
        "stdout_bytes": 5,
        "stderr_bytes": 0,
    }


def test_a_running_command_has_no_result(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """The field is there and null."""
    commands.add("r1").write(b"12345")

    shown = client.get(f"{RUN}/r1").json

    assert shown["status"] == "running"
    assert shown["result"] is None


def test_a_finished_command_has_its_result(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """The latest with this id; without `type`, which only tells messages on a socket apart."""
    commands.add("r1").end(1)
    latest = commands.add("r1", "second")
    latest.write(b"12345")
    latest.end(7)

    shown = client.get(f"{RUN}/r1").json

    assert shown["returncode"] == shown["result"]["returncode"] == 7
    assert shown["result"]["output"] == "12345"
    assert shown["result"].keys() == {
        "request_id",
        "command",
        "success",
        "output",
        "error",
        "returncode",
        "timestamp",
    }


def test_the_output_in_a_result_can_be_capped(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """Who only wants to know how it ended need not take 16 MiB."""
    command = commands.add("r1", max_output_bytes=4)
    command.write(b"123456789")
    command.end()

    for query, kept in (
        ("?max_output_bytes=2", "12"),
        ("", "1234"),
        ("?max_output_bytes=8", "1234"),
    ):
        result = client.get(f"{RUN}/r1{query}").json["result"]
        assert result["output"] == kept
        assert result["truncated"] == {"output_bytes": 9, "error_bytes": 0}


def test_an_id_that_is_taken_over_while_it_is_looked_up(
    client: FlaskClient, sandbox: str, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients number their requests from 1. Never one command's state with another's result."""
    commands.add("1", "first").end(1)
    attach = commands.attach

    def attach_late(*arguments: object) -> object:
        monkeypatch.undo()
        commands.add("1", "second").pid = 43
        return attach(*arguments)

    monkeypatch.setattr(commands, "attach", attach_late)

    shown = client.get(f"{RUN}/1").json

    assert (shown["command"], shown["status"], shown["result"]) == ("second", "running", None)


@pytest.mark.parametrize("path", ["/r9", "/r9/output"])
def test_an_unknown_command_is_404(client: FlaskClient, sandbox: str, path: str) -> None:
    """With a code that tells it from an unknown sandbox and an unknown address."""
    response = client.get(RUN + path)

    assert response.status_code == 404
    assert response.json["code"] == "command_not_found"


@pytest.mark.parametrize("query", ["?max_output_bytes=x", "?max=1", "?max_output_bytes=-1"])
def test_a_query_that_does_not_fit_is_refused(
    client: FlaskClient, sandbox: str, commands: FakeCommands, query: str
) -> None:
    """A misspelt parameter must not be ignored."""
    commands.add("r1")

    response = client.get(f"{RUN}/r1{query}")

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == [query[1:].partition("=")[0]]


def test_a_parameter_that_is_given_twice_is_refused(client: FlaskClient, sandbox: str) -> None:
    """Which of them is meant cannot be known."""
    response = client.get(f"{RUN}/r1?max_output_bytes=1&max_output_bytes=2")

    assert response.status_code == 422


def test_an_image_without_an_agent_can_only_run_and_wait(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """422 with a code of its own: another image would do."""
    commands.failure = FeatureMissing()

    for response in (client.get(RUN), client.get(f"{RUN}/r1"), client.get(f"{RUN}/r1/output")):
        assert response.status_code == 422
        assert response.json["code"] == "feature_missing"
