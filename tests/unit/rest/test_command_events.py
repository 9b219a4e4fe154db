"""What happens to a command, as server-sent events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import gevent
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.errors import CommandLost, ContainerGone, LinkLost, TooManyCommands
from gateway.rest import answers, event_stream
from gateway.rest.waiting import Waiting
from tests.unit.rest.fake_commands import FakeCommand, FakeCommands, FakeOccupancy
from tests.unit.rest.fakes import FakeSandboxes

RUN = "/sandboxes/a1/commands"
OUTPUT = RUN + "/r1/output"
EVENTS = {"Accept": "text/event-stream"}


@dataclass
class Event:
    kind: str
    id: str | None
    message: dict[str, Any]


def events_in(text: str) -> list[Event]:
    """As a browser would read it: comments are passed over, an event ends with an empty line."""
    found = []
    for block in text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            fields = dict(line.split(": ", 1) for line in lines)
            assert len(fields) == len(lines)
            found.append(Event(fields["event"], fields.get("id"), json.loads(fields["data"])))
    assert all(event.message["type"] == event.kind for event in found)
    return found


def said(response: TestResponse) -> list[tuple[str, str | None]]:
    assert response.status_code == 200, response.text
    assert response.content_type == "text/event-stream"
    return [(event.kind, event.id) for event in events_in(response.text)]


@pytest.fixture
def command(commands: FakeCommands, sandbox: str) -> FakeCommand:
    """It runs, and has written to both streams."""
    command = commands.add("r1")
    command.write(b"0123456789")
    command.write(b"error", stream=2)
    return command


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        ({"stream": True}, {}),
        ({}, EVENTS),
        ({}, {"Accept": "text/event-stream, */*;q=0.1"}),
        ({"stream": True}, {"Accept": "application/json"}),
    ],
)
def test_a_command_can_be_streamed(
    client: FlaskClient,
    sandbox: str,
    commands: FakeCommands,
    body: dict[str, Any],
    headers: dict[str, str],
) -> None:
    """The same messages as on the WebSocket; the result comes last and says so in its id."""

    def script(command: FakeCommand) -> None:
        command.write(b"hello\n")
        command.write(b"oh", stream=2)
        command.end(1)

    commands.script = script

    response = client.post(RUN, json={"command": "x", "request_id": "r1", **body}, headers=headers)

    assert said(response) == [
        ("started", "0-0"),
        ("stdout", "4-0"),
        ("stdout", "6-0"),
        ("stderr", "6-2"),
        ("result", "end"),
    ]
    started, first, second, third, result = (e.message for e in events_in(response.text))
    assert started == {"type": "started", "request_id": "r1", "pid": 42}
    assert first == {"type": "stdout", "request_id": "r1", "offset": 0, "data": "hell"}
    assert second == {"type": "stdout", "request_id": "r1", "offset": 4, "data": "o\n"}
    assert third == {"type": "stderr", "request_id": "r1", "offset": 0, "data": "oh"}
    assert (result["returncode"], result["output"]) == (1, "hello\n")
    assert response.headers["X-Accel-Buffering"] == "no"


@pytest.mark.parametrize(
    "accept",
    [
        "*/*",
        "",
        "application/json",
        "application/json, text/event-stream",
        "text/*",
        "image/png",
        "text/event-stream;q=0",
        "application/json, text/event-stream;q=0.5",
    ],
)
def test_an_event_stream_must_be_preferred(client: FlaskClient, sandbox: str, accept: str) -> None:
    """Whoever does not ask for it by name gets what everybody gets."""
    response = client.post(RUN, json={"command": "x"}, headers={"Accept": accept})

    assert response.content_type == "application/json"


def test_characters_are_never_split(
    client: FlaskClient, sandbox: str, commands: FakeCommands
) -> None:
    """The id counts whole characters only: who resumes from it gets the rest whole, too."""
    text = "沙箱沙箱"

    def script(command: FakeCommand) -> None:
        command.write(text.encode() + b"\xe6")
        command.end()

    commands.script = script
    body = {"command": "x", "stream": True, "max_output_bytes": 0}
    events = events_in(client.post(RUN, json=body).text)

    pieces = [event for event in events if event.kind == "stdout"]
    assert [event.id for event in pieces] == ["3-0", "6-0", "12-0", "13-0"]
    assert "".join(event.message["data"] for event in pieces) == text + "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("query", "headers", "expected"),
    [
        ("", {}, ["4-0", "8-0", "10-0", "10-4", "10-5"]),
        ("?stdout=8&stderr=4", {}, ["10-4", "10-5"]),
        ("?stream=stdout", {}, ["4-5", "8-5", "10-5"]),
        ("?stream=stderr&offset=4", {}, ["10-5"]),
        ("", {"Last-Event-ID": "8-4"}, ["10-4", "10-5"]),
        ("?stdout=1", {"Last-Event-ID": "10-4"}, ["10-5"]),
        ("?stream=stdout&offset=1", {"Last-Event-ID": "8-0"}, ["10-5"]),
    ],
)
def test_a_command_is_followed_from_where_the_client_is(
    client: FlaskClient,
    command: FakeCommand,
    query: str,
    headers: dict[str, str],
    expected: list[str],
) -> None:
    """What a browser says when it connects again counts more than the address it was given."""
    command.end()

    told = said(client.get(OUTPUT + query, headers=EVENTS | headers))

    assert [name for kind, name in told if kind in ("stdout", "stderr")] == expected
    assert told[0][0] == "started"
    assert told[-1] == ("result", "end")


def test_resuming_after_any_event_gives_the_rest(client: FlaskClient, command: FakeCommand) -> None:
    """Every byte once, in order, whenever the connection broke."""
    command.end()
    whole = [e for e in events_in(client.get(OUTPUT, headers=EVENTS).text) if e.kind != "started"]

    for seen in range(len(whole) - 1):
        headers = EVENTS | {"Last-Event-ID": whole[seen].id or ""}
        rest = events_in(client.get(OUTPUT, headers=headers).text)
        assert [e.message for e in rest if e.kind[:3] == "std"] == [
            e.message for e in whole[seen + 1 : -1]
        ]


def test_a_client_that_has_everything_is_told_to_stop(
    client: FlaskClient, command: FakeCommand
) -> None:
    """Browsers connect again after the last event, for ever, unless the answer is 204."""
    command.end()

    response = client.get(OUTPUT, headers=EVENTS | {"Last-Event-ID": "end"})

    assert response.status_code == 204


@pytest.mark.parametrize("given", ["x", "1", "-1-0", "1-2-3", "9" * 30 + "-0", "１-0"])
def test_a_foreign_last_event_id_is_refused(
    client: FlaskClient, command: FakeCommand, given: str
) -> None:
    """Starting over would give bytes twice."""
    headers = [("Accept", "text/event-stream"), ("Last-Event-ID", given.encode().decode("latin-1"))]

    assert client.get(OUTPUT, headers=headers).status_code == 400
    assert client.get(OUTPUT, headers=headers[1:]).status_code == 200


@pytest.mark.parametrize("query", ["?stdout=11", "?stderr=6", "?stream=stderr&offset=6"])
def test_an_offset_beyond_the_end_is_416(
    client: FlaskClient, command: FakeCommand, query: str
) -> None:
    """By its status, and not in the stream."""
    response = client.get(OUTPUT + query, headers=EVENTS)

    assert response.status_code == 416


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?offset=1", "offset"),
        ("?stream=stdout&stdout=1", "stdout"),
        ("?wait=1", "wait"),
        ("?limit=1", "limit"),
    ],
)
def test_a_query_that_does_not_fit_is_refused(
    client: FlaskClient, command: FakeCommand, query: str, field: str
) -> None:
    """Of which stream the offset is would have to be guessed."""
    response = client.get(OUTPUT + query, headers=EVENTS)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == [field]


def test_output_can_be_asked_for_byte_exact(client: FlaskClient, command: FakeCommand) -> None:
    """Whatever the command was started with."""
    command.end()

    events = events_in(client.get(OUTPUT + "?encoding=base64", headers=EVENTS).text)

    assert events[1].message["data"] == "MDEyMw=="
    assert events[-1].message["output"] == "MDEyMzQ1Njc4OQ=="


def test_a_gap_is_told(client: FlaskClient, command: FakeCommand) -> None:
    """And counted in the id."""
    command.kept_from = 8
    command.end()

    _, gap, *_ = events_in(client.get(OUTPUT, headers=EVENTS).text)

    assert gap == Event(
        "gap", "8-0", {"type": "gap", "request_id": "r1", "stream": "stdout", "from": 0, "to": 8}
    )


def test_events_come_as_they_happen(
    client: FlaskClient, command: FakeCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And comments in between, so that nobody takes the silence for the end."""
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.01)
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
    monkeypatch.setattr(event_stream, "FIRST_S", 0.01)
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
    monkeypatch.setattr(event_stream, "FIRST_S", 0.01)
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.01)
    follow, begun = commands.follow, []

    def follow_late(*arguments: Any) -> Any:
        gevent.sleep(0.1)
        begun.append(True)
        return follow(*arguments)

    monkeypatch.setattr(commands, "follow", follow_late)

    client.post(RUN, json={"command": "x", "stream": True}, buffered=False).close()

    assert begun


def test_a_client_that_leaves_ends_nothing(
    client: FlaskClient, sandbox: str, commands: FakeCommands, occupancy: FakeOccupancy
) -> None:
    """The command goes on, and its lease stays until nothing runs."""
    commands.script = lambda command: command.write(b"123")
    stream = client.post(RUN, json={"command": "x", "stream": True}, buffered=False)
    next(stream.iter_encoded())

    stream.close()

    assert commands.all[0].returncode is None
    assert len(occupancy.kept) == 1


def test_a_client_that_leaves_before_the_first_byte_is_noticed_too(
    client: FlaskClient, sandbox: str, commands: FakeCommands, occupancy: FakeOccupancy
) -> None:
    """A generator that was never begun runs no `finally`."""
    commands.script = lambda command: None

    client.post(RUN, json={"command": "x", "stream": True}, buffered=False).close()

    assert len(occupancy.kept) == 1


def test_who_only_watches_keeps_no_lease(
    client: FlaskClient, command: FakeCommand, sandboxes: FakeSandboxes
) -> None:
    """Whoever started the command has one."""
    stream = client.get(OUTPUT, headers=EVENTS, buffered=False)
    next(stream.iter_encoded())
    assert len(sandboxes.leases) == 1

    stream.close()

    assert sandboxes.leases == []


def test_a_client_that_does_not_read_is_given_up(
    client: FlaskClient, command: FakeCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that has gone: the server would wait for it for ever."""
    monkeypatch.setattr(answers, "STALL_LIMIT_S", 0.02)
    stream = client.get(OUTPUT, headers=EVENTS, buffered=False)
    next(stream.iter_encoded())

    with pytest.raises(BrokenPipeError):
        gevent.sleep(1)
    stream.close()


def test_what_is_refused_is_refused_by_status(
    client: FlaskClient, sandbox: str, commands: FakeCommands, occupancy: FakeOccupancy
) -> None:
    """As long as nothing has been sent, a stream is not needed to say so."""
    commands.failure = TooManyCommands("4096 run")

    response = client.post(RUN, json={"command": "x", "stream": True})

    assert response.status_code == 429
    assert occupancy.kept == []


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

    assert max(sizes) <= answers.PIECE_BYTES
    assert sum(sizes) == int(response.headers["Content-Length"])
    response.close()
    assert commands.held == 0
