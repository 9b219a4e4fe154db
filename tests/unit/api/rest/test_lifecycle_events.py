"""What happened to sandboxes: as a list, and live as server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.api.rest import event_routes
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import StoreUnavailable
from gateway.store.events import EventRow
from tests.unit.api.rest.fakes import FakeSandbox, FakeSandboxes

STREAM = {"Accept": "text/event-stream"}
OF_ONE, OF_ALL = "/sandboxes/a1/events", "/events"


@pytest.fixture(autouse=True)
def happened(sandboxes: FakeSandboxes) -> list[EventRow]:
    """Two sandboxes; b2 has ended."""
    sandboxes.kept = {"a1": FakeSandbox("a1"), "b2": FakeSandbox("b2")}
    sandboxes.happened = [
        EventRow(3, "a1", 10.0004, "created", {}),
        EventRow(5, "b2", 11.0, "created", {}),
        EventRow(8, "a1", 12.0, "paused", {"by": "client"}),
        EventRow(9, "b2", 13.0, "ended", {"reason": "oom"}),
    ]
    return sandboxes.happened


def _told(response: TestResponse) -> list[tuple[str, str, dict[str, Any]]]:
    """(event, id, data) of each, as a browser reads them; comments are passed over."""
    assert response.status_code == 200, response.text
    assert response.content_type == "text/event-stream"
    found = []
    for block in response.text.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if lines:
            fields = dict(line.split(": ", 1) for line in lines)
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


def test_events_are_listed_with_their_facts(client: FlaskClient) -> None:
    """Oldest first, as a bare array; facts stand beside the four fields that all have."""
    assert client.get(OF_ONE).json == [
        {"id": 3, "sandbox_id": "a1", "at": 10.0, "event": "created"},
        {"id": 8, "sandbox_id": "a1", "at": 12.0, "event": "paused", "by": "client"},
    ]
    assert [event["id"] for event in client.get(OF_ALL).json] == [3, 5, 8, 9]


def test_a_list_goes_on_after_an_event(client: FlaskClient) -> None:
    """In pieces of bounded size."""
    assert [event["id"] for event in client.get(f"{OF_ALL}?after=3&limit=2").json] == [5, 8]
    assert [event["id"] for event in client.get(f"{OF_ONE}?after=3").json] == [8]
    assert client.get(f"{OF_ALL}?after=9").json == []


def test_facts_cannot_take_an_events_place(client: FlaskClient, happened: list[EventRow]) -> None:
    """Whatever is noted of an event, its id and kind are its own."""
    happened[:] = [EventRow(1, "a1", 1.0, "updated", {"id": 99, "event": "ended", "at": "never"})]

    assert client.get(OF_ONE).json == [{"id": 1, "sandbox_id": "a1", "at": 1.0, "event": "updated"}]


def test_a_stream_of_one_begins_with_its_first_event(client: FlaskClient) -> None:
    """Whoever asks after the create misses nothing."""
    told = _told(client.get(OF_ONE, headers=STREAM))

    assert [(kind, number) for kind, number, _ in told] == [("created", "3"), ("paused", "8")]
    assert [data for _, _, data in told] == client.get(OF_ONE).json


def test_a_stream_of_all_begins_now(
    client: FlaskClient, sandboxes: FakeSandboxes, happened: list[EventRow]
) -> None:
    """Days of history are told to those who ask for them only."""

    def follow(
        number: int, *, sandbox_id: str | None, owner: str | None
    ) -> Iterator[list[EventRow]]:
        gevent.sleep(0.02)
        happened.append(EventRow(12, "a1", 14.0, "resumed", {}))
        yield sandboxes.since(number, sandbox_id=sandbox_id, owner=owner, limit=100)

    assert _told(client.get(OF_ALL, headers=STREAM)) == []
    sandboxes.follow = follow  # type: ignore[method-assign]
    assert [told[:2] for told in _told(client.get(OF_ALL, headers=STREAM))] == [("resumed", "12")]
    told = _told(client.get(f"{OF_ALL}?after=5", headers=STREAM))
    assert [number for _, number, _ in told][:2] == ["8", "9"]


@pytest.mark.parametrize("path", [OF_ALL, OF_ONE])
@pytest.mark.parametrize("query", ["", "?after=3"])
def test_a_stream_goes_on_after_the_last_event_id(
    client: FlaskClient, path: str, query: str
) -> None:
    """As browsers do by themselves; it takes precedence over the query they repeat."""
    response = client.get(path + query, headers=STREAM | {"Last-Event-ID": "5"})

    assert [number for _, number, _ in _told(response)][:1] == ["8"]


def test_after_a_sandboxes_end_browsers_are_told_to_stop(client: FlaskClient) -> None:
    """They connect again to any stream that ended, unless they get a 204."""
    path = "/sandboxes/b2/events"
    assert [told[0] for told in _told(client.get(path, headers=STREAM))] == ["created", "ended"]

    assert client.get(path, headers=STREAM | {"Last-Event-ID": "9"}).status_code == 204
    assert client.get(path, headers=STREAM | {"Last-Event-ID": "5"}).status_code == 200
    assert client.get(OF_ALL, headers=STREAM | {"Last-Event-ID": "9"}).status_code == 200
    assert client.get(OF_ONE, headers=STREAM | {"Last-Event-ID": "8"}).status_code == 200


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "12-0", "end", "9" * 19, " "])
def test_a_foreign_last_event_id_is_refused(client: FlaskClient, last: str) -> None:
    """It is none that these streams gave: going on from anywhere would lose events."""
    response = client.get(OF_ONE, headers=STREAM | {"Last-Event-ID": last})

    assert response.status_code == 400
    assert "Last-Event-ID" in response.json["detail"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("after=-1", "after"),
        ("after=x", "after"),
        (f"after={2**63}", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("status=idle", "status"),
    ],
)
@pytest.mark.parametrize("headers", [{}, STREAM])
def test_bad_queries_are_refused_by_name(
    client: FlaskClient, query: str, field: str, headers: dict[str, str]
) -> None:
    """In a list and in a stream."""
    response = client.get(f"{OF_ALL}?{query}", headers=headers)

    assert response.status_code == 422
    assert [error["loc"][0] for error in response.json["errors"]] == [field]


def test_an_unknown_sandbox_is_404_before_the_stream(client: FlaskClient) -> None:
    """A stream that has begun cannot have a status any more."""
    assert client.get("/sandboxes/c3/events", headers=STREAM).status_code == 404


def test_a_store_that_fails_is_503_before_the_stream(
    client: FlaskClient, sandboxes: FakeSandboxes
) -> None:
    """As everywhere."""
    sandboxes.failure = StoreUnavailable("locked")

    assert client.get(OF_ONE, headers=STREAM).status_code == 503


def test_silence_is_broken_by_comments(
    client: FlaskClient, sandboxes: FakeSandboxes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies close connections that are silent; browsers pass comments over."""
    monkeypatch.setattr(event_routes, "HEARTBEAT_S", 0.01)

    def follow(
        number: int, *, sandbox_id: str | None, owner: str | None
    ) -> Iterator[list[EventRow]]:
        gevent.sleep(0.1)
        yield sandboxes.since(number, sandbox_id=sandbox_id, owner=owner, limit=100)

    sandboxes.follow = follow  # type: ignore[method-assign]

    response = client.get(OF_ONE, headers=STREAM)

    assert response.text.count(":\n\n") > 1
    assert len(_told(response)) == 2
    assert response.headers["X-Accel-Buffering"] == "no"


@pytest.mark.parametrize("how", ["the store fails", "the gateway stops"])
def test_a_stream_that_breaks_off_just_ends(
    client: FlaskClient, sandboxes: FakeSandboxes, waiting: Waiting, how: str
) -> None:
    """The client connects again and goes on after what it has."""

    def follow(
        number: int, *, sandbox_id: str | None, owner: str | None
    ) -> Iterator[list[EventRow]]:
        yield sandboxes.since(number, sandbox_id=sandbox_id, owner=owner, limit=1)
        gevent.sleep(0.02)
        if how == "the store fails":
            raise StoreUnavailable("locked")
        gevent.spawn(waiting.close)
        gevent.sleep(30)

    sandboxes.follow = follow  # type: ignore[method-assign]

    with gevent.Timeout(5):
        assert [told[:2] for told in _told(client.get(OF_ONE, headers=STREAM))] == [
            ("created", "3")
        ]
