"""Running commands over REST."""

from __future__ import annotations

from uuid import UUID

import gevent
import pytest
from flask.testing import FlaskClient

from gateway.errors import (
    AgentMissing,
    CommandLost,
    ContainerGone,
    FeatureMissing,
    LinkLost,
    TooManyCommands,
)
from gateway.rest import usage
from gateway.rest.waiting import Waiting
from tests.unit.rest.fake_commands import FakeCommand, FakeCommands, FakeOccupancy
from tests.unit.rest.fakes import FakeSandboxes

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
        "input": "in",
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
    client: FlaskClient, sandbox: str, commands: FakeCommands, occupancy: FakeOccupancy
) -> None:
    """With its address; its lease stays until nothing runs."""
    commands.script = lambda command: None

    response = client.post(RUN, json={"command": "x", "request_id": "b/1", "background": True})

    assert response.status_code == 202
    assert response.json == {"request_id": "b/1", "status": "running", "pid": 42}
    assert response.headers["Location"] == "/sandboxes/a1/commands/b%2F1"
    assert len(occupancy.kept) == 1
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


def test_a_request_that_waits_holds_a_lease_and_the_link(
    client: FlaskClient, sandbox: str, commands: FakeCommands, sandboxes: FakeSandboxes
) -> None:
    """A sandbox in use is not idle; and the link stays a while for the next request."""
    seen = []

    def script(command: FakeCommand) -> None:
        seen.append((len(sandboxes.leases), commands.users))
        command.end()

    commands.script = script
    client.post(RUN, json={"command": "x"})

    assert seen == [(1, 1)]
    assert commands.lingering == [usage.LINGER_S]


@pytest.mark.parametrize("failure", [TooManyCommands("x"), FeatureMissing()])
def test_a_refused_command_leaves_nothing(
    client: FlaskClient,
    sandbox: str,
    commands: FakeCommands,
    sandboxes: FakeSandboxes,
    failure: Exception,
) -> None:
    """It was not started, so no lease is kept."""
    commands.failure = failure

    response = client.post(RUN, json={"command": "x", "background": True})

    assert response.status_code == {"too_many_commands": 429}.get(response.json["code"], 422)
    assert sandboxes.leases == []


def test_a_command_whose_end_is_unknown_may_still_run(
    client: FlaskClient, sandbox: str, commands: FakeCommands, occupancy: FakeOccupancy
) -> None:
    """The lease stays until the sandbox itself says that nothing runs."""
    commands.script = lambda command: gevent.spawn(command.fail, CommandLost("the agent died"))

    response = client.post(RUN, json={"command": "x"})

    assert response.status_code == 502
    assert response.json["code"] == "command_lost"
    assert response.json["detail"] == "the agent died"
    assert len(occupancy.kept) == 1


def test_what_the_engine_says_about_a_link_stays_in_the_log(
    client: FlaskClient, sandbox: str, commands: FakeCommands, caplog: pytest.LogCaptureFixture
) -> None:
    """A lost link carries the engine's words, which name paths of the host."""
    commands.failure = LinkLost("/var/lib/secret is gone")

    response = client.get(RUN)

    assert response.status_code == 502
    assert "secret" not in response.text
    assert "secret" in caplog.text


@pytest.mark.parametrize("failure", [ContainerGone("x"), LinkLost("x"), AgentMissing("x")])
def test_a_sandbox_that_ends_meanwhile_is_404(
    client: FlaskClient,
    sandbox: str,
    commands: FakeCommands,
    sandboxes: FakeSandboxes,
    failure: Exception,
) -> None:
    """Not 503 with `Retry-After`: the same request will never succeed again."""

    def script(command: FakeCommand) -> None:
        del sandboxes.kept["a1"]
        command.fail(failure)

    commands.script = script

    response = client.post(RUN, json={"command": "x"})

    assert response.status_code == 404
    assert response.json["code"] == "sandbox_not_found"


def test_a_gateway_that_stops_answers_who_waits(
    client: FlaskClient,
    sandbox: str,
    commands: FakeCommands,
    occupancy: FakeOccupancy,
    waiting: Waiting,
) -> None:
    """At once and with 503, and not when the command has ended or the server cuts it."""
    commands.script = lambda command: None
    gevent.spawn_later(0.05, waiting.close)

    response = client.post(RUN, json={"command": "sleep 1000"})

    assert response.status_code == 503
    assert response.json["code"] == "gateway_stopping"
    assert int(response.headers["Retry-After"]) > 0
    assert len(occupancy.kept) == 1
    assert client.post(RUN, json={"command": "x"}).status_code == 503


def test_a_lease_that_cannot_be_released_is_not_lost(
    client: FlaskClient, sandbox: str, sandboxes: FakeSandboxes, occupancy: FakeOccupancy
) -> None:
    """The answer is there already; whoever keeps leases tries again."""
    sandboxes.cannot_release = True

    assert client.post(RUN, json={"command": "x"}).status_code == 200
    assert len(occupancy.kept) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", ""),
        ("GET", "/r"),
        ("GET", "/r/output"),
        ("POST", "/r/stdin"),
        ("POST", "/r/signal"),
    ],
)
@pytest.mark.parametrize("sandbox_id", ["b2", "..%5c..", "A"])
def test_an_unknown_sandbox_is_404(
    client: FlaskClient, commands: FakeCommands, method: str, path: str, sandbox_id: str
) -> None:
    """On every route, and nothing behind the edge hears of ids that cannot be."""
    body = {"command": "x"} if not path else {"signal": "INT"} if "signal" in path else {}
    response = client.open(
        f"/sandboxes/{sandbox_id}/commands{path}", method=method, json=body or None
    )

    assert response.status_code == 404
    assert response.json["code"] == "sandbox_not_found"
    assert commands.lingering == []
