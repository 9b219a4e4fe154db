"""How event streams begin, last and end."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from flask.testing import FlaskClient

from gateway.api.bodies import streamed_answers
from gateway.api.rest import server_sent_events
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import CommandLost, ContainerGone, LinkLost, TooManyCommands
from tests.unit.api.rest.fake_commands import FakeCommand, FakeCommands, FakeCommandWatcher
from tests.unit.api.rest.fakes import FakeSandboxes
from tests.unit.api.rest.sse import Event, events_in

RUN = "/sandboxes/a1/commands"
OUTPUT = RUN + "/r1/output"
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
def command(commands: FakeCommands, sandbox: str) -> FakeCommand:
    """It runs, and has written to both streams."""
    command = commands.add("r1")
    command.write(b"0123456789")
    command.write(b"error", stream=2)
    return command


def test_events_come_as_they_happen(
    client: FlaskClient, command: FakeCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And comments in between, so that nobody takes the silence for the end."""
    monkeypatch.setattr(server_sent_events, "HEARTBEAT_S", 0.01)
    stream = client.get(OUTPUT + "?stdout=10&stderr=5", headers=EVENTS, buffered=False)
    pieces = stream.iter_encoded()

    assert next(pieces).startswith(b"event: started\n")
    assert next(pieces) == b":\n\n"
    command.write(b"more")
    following = [piece for piece in (next(pieces), next(pieces)) if piece != b":\n\n"]
    assert following[0].startswith(b"event: stdout\nid: 14-5\n")
    command.end()
    assert [p.split(b"\n")[0] for p in pieces if p != b":\n\n"] == [b"event: result"]
    stream.close()


def test_headers_come_before_a_silent_command_says_anything(
    client: FlaskClient, sandbox: str, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits for its session has not even started."""
    monkeypatch.setattr(server_sent_events, "FIRST_S", 0.01)
    commands.script = lambda command: setattr(command, "pid", None)

    body = {"command": "x", "stream": True}
    stream = client.post(RUN, json=body, buffered=False)

    assert stream.status_code == 200
    assert next(stream.iter_encoded()) == b":\n\n"
    stream.close()
    assert len(commands.all) == 1


def test_nothing_is_sent_before_the_command_has_begun(
    client: FlaskClient, sandbox: str, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a client has left shows when something is sent. It would take its command with it."""
    monkeypatch.setattr(server_sent_events, "FIRST_S", 0.01)
    monkeypatch.setattr(server_sent_events, "HEARTBEAT_S", 0.01)
    follow, begun = commands.follow, []

    def follow_late(*arguments: Any) -> Any:
        gevent.sleep(0.1)
        begun.append(True)
        return follow(*arguments)

    monkeypatch.setattr(commands, "follow", follow_late)

    client.post(RUN, json={"command": "x", "stream": True}, buffered=False).close()

    assert begun


def test_a_client_that_leaves_ends_nothing(
    client: FlaskClient, sandbox: str, commands: FakeCommands, watcher: FakeCommandWatcher
) -> None:
    """The command goes on, and its lease stays until nothing runs."""
    commands.script = lambda command: command.write(b"123")
    stream = client.post(RUN, json={"command": "x", "stream": True}, buffered=False)
    next(stream.iter_encoded())

    stream.close()

    assert commands.all[0].returncode is None
    assert len(watcher.kept) == 1


def test_a_client_that_leaves_before_the_first_byte_is_noticed_too(
    client: FlaskClient, sandbox: str, commands: FakeCommands, watcher: FakeCommandWatcher
) -> None:
    """A generator that was never begun runs no `finally`."""
    commands.script = lambda command: None

    client.post(RUN, json={"command": "x", "stream": True}, buffered=False).close()

    assert len(watcher.kept) == 1


def test_who_only_watches_keeps_no_lease(
    client: FlaskClient, command: FakeCommand, sandboxes: FakeSandboxes
) -> None:
    """Whoever started the command has one."""
    stream = client.get(OUTPUT, headers=EVENTS, buffered=False)
    next(stream.iter_encoded())
    assert len(sandboxes.leases) == 1

    stream.close()

    assert sandboxes.leases == []


def test_what_is_refused_is_refused_by_status(
    client: FlaskClient, sandbox: str, commands: FakeCommands, watcher: FakeCommandWatcher
) -> None:
    """As long as nothing has been sent, a stream is not needed to say so."""
    commands.failure = TooManyCommands("4096 run")

    response = client.post(RUN, json={"command": "x", "stream": True})

    assert response.status_code == 429
    assert watcher.kept == []


@pytest.mark.parametrize(
    ("failure", "detail"),
    [
        (CommandLost("the agent was killed"), "the agent was killed"),
        (LinkLost("/run/secret broke"), "The connection into the sandbox broke"),
    ],
)
def test_what_goes_wrong_later_is_an_event(
    client: FlaskClient, command: FakeCommand, failure: Any, detail: str
) -> None:
    """In the client's language, with the code and without an id: it may come back later."""
    gevent.spawn_later(0.02, command.fail, failure)

    response = client.get(OUTPUT, headers=EVENTS | {"Accept-Language": "it"})

    last = events_in(response.text)[-1]
    assert (last.kind, last.id) == ("error", None)
    assert last.message["code"] == failure.code
    assert last.message["detail"] == detail
    assert last.message["request_id"] == "r1"
    assert not last.message["message"].isascii() or "comando" in last.message["message"]


def test_an_unexpected_failure_tells_nothing(
    client: FlaskClient, command: FakeCommand, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is in the log."""
    gevent.spawn_later(0.02, command.fail, KeyError("secret"))  # type: ignore[arg-type]

    response = client.get(OUTPUT, headers=EVENTS)

    assert events_in(response.text)[-1].message["code"] == "internal_error"
    assert "secret" not in response.text
    assert "secret" in caplog.text


@pytest.mark.parametrize("failure", [ContainerGone("x"), LinkLost("x")])
def test_the_end_of_the_sandbox_is_told_with_its_reason(
    client: FlaskClient, command: FakeCommand, sandboxes: FakeSandboxes, failure: Any
) -> None:
    """As on the WebSocket."""

    def end() -> None:
        del sandboxes.kept["a1"]
        sandboxes.ended["a1"] = "oom"
        command.fail(failure)

    gevent.spawn_later(0.02, end)

    last = events_in(client.get(OUTPUT, headers=EVENTS).text)[-1]

    assert last == Event("ended", None, {"type": "ended", "reason": "oom"})


def test_a_gateway_that_stops_ends_its_streams(
    client: FlaskClient, command: FakeCommand, waiting: Waiting
) -> None:
    """At once, without an id: browsers come back to the next gateway and go on."""
    gevent.spawn_later(0.02, waiting.close)

    last = events_in(client.get(OUTPUT, headers=EVENTS).text)[-1]

    assert (last.kind, last.id, last.message["code"]) == ("error", None, "gateway_stopping")


def test_large_results_are_not_copied_as_a_whole(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """They go out in pieces, and are accounted for until the last one is out."""

    def script(command: FakeCommand) -> None:
        command.written[1] = b"x" * (2 << 20)
        command.end()

    commands.script = script
    response = client.post(RUN, json={"command": "x"}, buffered=False)
    pieces = response.iter_encoded()
    sizes = [len(next(pieces))]
    assert commands.held == 1
    sizes += map(len, pieces)

    assert max(sizes) <= streamed_answers.PIECE_BYTES
    assert sum(sizes) == int(response.headers["Content-Length"])
    response.close()
    assert commands.held == 0
