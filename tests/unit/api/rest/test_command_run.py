"""Running commands over REST."""

from __future__ import annotations

from uuid import UUID

import pytest
from flask.testing import FlaskClient

from tests.unit.api.rest.fake_commands import FakeCommand, FakeCommands, FakeCommandWatcher

RUN = "/sandboxes/a1/commands"


def test_a_command_is_run_and_waited_for(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """The same seven fields as on the WebSocket, and no others."""

    def script(command: FakeCommand) -> None:
        command.write("più\n".encode())
        command.write(b"oh\n", stream=2)
        command.end(3)

    commands.script = script

    response = client.post(RUN, json={"command": "x", "request_id": "r1"})

    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["Content-Length"] == str(len(response.data))
    timestamp = response.json["timestamp"]
    assert response.json == {
        "request_id": "r1",
        "command": "x",
        "success": False,
        "output": "più\n",
        "error": "oh\n",
        "returncode": 3,
        "timestamp": timestamp,
    }


@pytest.mark.parametrize("request_id", [None, ""])
def test_a_missing_request_id_is_generated(
    client: FlaskClient, sandbox: str, request_id: str | None
) -> None:
    """A UUID4; an empty one could stand in no address."""
    response = client.post(RUN, json={"command": "x", "request_id": request_id})

    assert UUID(response.json["request_id"]).version == 4


def test_all_options_reach_the_command(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """The same fields as on the WebSocket."""
    client.post(
        RUN,
        json={
            "command": "x",
            "timeout": 5,
            "cwd": "/tmp",
            "env": {"A": "b"},
            "stdin": "in",
            "session": "main",
            "encoding": "base64",
            "max_output_bytes": 7,
        },
    )

    [command] = commands.all
    assert command.spec.options == {
        "timeout": 5.0,
        "cwd": "/tmp",
        "env": {"A": "b"},
        "session": "main",
        "input": b"in",
    }
    assert (command.spec.encoding, command.spec.cap) == ("base64", 7)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "command"),
        ({"command": 1}, "command"),
        ({"command": "a\0b"}, "command"),
        ({"command": "x", "comand": "y"}, "comand"),
        ({"command": "x", "timeout": "5"}, "timeout"),
        ({"command": "x", "timeout": 0}, "timeout"),
        ({"command": "x", "timeout": True}, "timeout"),
        ({"command": "x", "stream": "yes"}, "stream"),
        ({"command": "x", "background": 1}, "background"),
        ({"command": "x", "background": True, "stream": True}, "background"),
        ({"command": "x", "once": True}, "once"),
        ({"command": "x", "request_id": "x" * 257}, "request_id"),
        ({"command": "x", "request_id": 7}, "request_id"),
        ({"command": "x", "env": {"A B": "c"}}, "env"),
        ({"command": "x", "tty": {"cols": 0}}, "tty"),
        ({"command": "x", "tty": {}, "session": "s"}, "session"),
        ({"command": "x", "encoding": "latin-1"}, "encoding"),
        ({"command": "x", "max_output_bytes": 1 << 40}, "max_output_bytes"),
    ],
    ids=repr,
)
def test_what_does_not_fit_is_refused(
    client: FlaskClient, sandbox: str, commands: FakeCommands, body: object, field: str
) -> None:
    """Strictly, and with the name of the field; nothing is run, no lease is taken."""
    response = client.post(RUN, json=body)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"][0] == field
    assert commands.all == []
    assert commands.lingering == []


def test_a_command_in_the_background_is_answered_at_once(
    client: FlaskClient, sandbox: str, commands: FakeCommands, watcher: FakeCommandWatcher
) -> None:
    """With its address; its lease stays until nothing runs."""
    commands.script = lambda command: None

    response = client.post(RUN, json={"command": "x", "request_id": "b/1", "background": True})

    assert response.status_code == 202
    assert response.json == {"request_id": "b/1", "status": "running", "pid": 42}
    assert response.headers["Location"] == "/sandboxes/a1/commands/b%2F1"
    assert len(watcher.kept) == 1
    assert client.get(response.headers["Location"]).json["status"] == "running"


def test_location_respects_the_mount_point(client: FlaskClient, sandbox: str) -> None:
    """Behind a proxy that mounts the gateway below a path, it must lead there."""
    body = {"command": "x", "request_id": "r", "background": True}

    response = client.post(RUN, json=body, base_url="http://localhost/below")

    assert response.headers["Location"] == "/below/sandboxes/a1/commands/r"


def test_a_command_that_waits_for_its_session_has_no_pid(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """It is accepted all the same."""
    commands.script = lambda command: setattr(command, "pid", None)

    response = client.post(RUN, json={"command": "x", "background": True})

    assert response.status_code == 202
    assert response.json["pid"] is None


def test_once_does_not_start_a_second_time(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """In the foreground it gives the first result, in the background it says that it ended."""
    body = {"command": "x", "request_id": "k", "once": True}

    first = client.post(RUN, json=body)
    again = client.post(RUN, json=body)
    behind = client.post(RUN, json=body | {"background": True})

    assert first.status_code == again.status_code == 200
    assert behind.json["status"] == "finished"
    assert len(commands.all) == 1
