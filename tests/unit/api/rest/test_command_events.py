"""What happens to a command, as server-sent events."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.unit.api.rest.fake_commands import FakeCommand, FakeCommands
from tests.unit.api.rest.sse import Event, events_in, said

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
