"""What a command wrote, as raw bytes from an offset."""

from __future__ import annotations

import time

import gevent
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import LinkLost
from tests.unit.api.rest.fake_commands import FakeCommand, FakeCommands

OUTPUT = "/sandboxes/a1/commands/r1/output"


@pytest.fixture
def command(commands: FakeCommands, sandbox: str) -> FakeCommand:
    """It runs, and has written to both streams."""
    command = commands.add("r1")
    command.write(b"0123456789")
    command.write(b"error", stream=2)
    return command


def _place(response: TestResponse) -> tuple[str, str, str]:
    assert response.status_code == 200, response.text
    names = ("X-Output-Offset", "X-Output-Next", "X-Output-Complete")
    offset, following, complete = (response.headers[name] for name in names)
    return offset, following, complete


@pytest.mark.parametrize(
    ("query", "data", "place"),
    [
        ("", b"0123456789", ("0", "10", "false")),
        ("?stream=stdout&offset=3", b"3456789", ("3", "10", "false")),
        ("?offset=3&limit=2", b"34", ("3", "5", "false")),
        ("?limit=6", b"012345", ("0", "6", "false")),
        ("?stream=stderr", b"error", ("0", "5", "false")),
        ("?stream=stderr&offset=5", b"", ("5", "5", "false")),
        ("?offset=10", b"", ("10", "10", "false")),
        ("?offset=10&wait=0.01", b"", ("10", "10", "false")),
    ],
)
def test_what_is_there_is_given_at_once(
    client: FlaskClient,
    command: FakeCommand,
    query: str,
    data: bytes,
    place: tuple[str, str, str],
) -> None:
    """From the offset, up to the limit, of one stream; with where to go on."""
    response = client.get(OUTPUT + query)

    assert response.data == data
    assert response.content_type == "application/octet-stream"
    assert _place(response) == place


def test_bytes_are_not_interpreted(client: FlaskClient, command: FakeCommand) -> None:
    """Half a character is half a character."""
    command.write(b"\xe6\xb2\x99\xff\x00"[1:])

    assert client.get(OUTPUT + "?offset=10").data == b"\xb2\x99\xff\x00"


def test_reading_on_gives_every_byte_once(client: FlaskClient, command: FakeCommand) -> None:
    """Until it is complete."""
    command.end()
    read, offset, complete = b"", "0", "false"

    while complete == "false":
        response = client.get(f"{OUTPUT}?offset={offset}&limit=3")
        read += response.data
        at, offset, complete = _place(response)
        assert int(offset) == int(at) + len(response.data) == len(read)

    assert read == b"0123456789"


@pytest.mark.parametrize("query", ["", "?offset=10", "?offset=10&wait=60", "?offset=4&wait=60"])
def test_the_end_is_told_with_the_last_bytes(
    client: FlaskClient, command: FakeCommand, query: str
) -> None:
    """No further request is needed, and nothing is waited for."""
    command.end()
    started = time.monotonic()

    response = client.get(OUTPUT + query)

    assert _place(response)[1:] == ("10", "true")
    assert time.monotonic() - started < 5


def test_more_is_waited_for(client: FlaskClient, command: FakeCommand) -> None:
    """And given as soon as it comes; the other stream does not end the wait."""
    gevent.spawn_later(0.02, command.write, b"!", 2)
    gevent.spawn_later(0.06, command.write, b"more")
    started = time.monotonic()

    response = client.get(OUTPUT + "?offset=10&wait=30")

    assert response.data == b"more"
    assert _place(response) == ("10", "14", "false")
    assert time.monotonic() - started < 5


def test_the_end_is_waited_for(client: FlaskClient, command: FakeCommand) -> None:
    """A command may end without another word."""
    gevent.spawn_later(0.05, command.end)

    response = client.get(OUTPUT + "?offset=10&wait=30")

    assert _place(response) == ("10", "10", "true")


def test_what_is_not_kept_shows_as_a_larger_offset(
    client: FlaskClient, command: FakeCommand
) -> None:
    """Never skipped in silence."""
    command.kept_from = 6

    response = client.get(OUTPUT + "?offset=2&limit=3")

    assert response.data == b"678"
    assert _place(response) == ("6", "9", "false")


@pytest.mark.parametrize(("offset", "data"), [(12, b"ter"), (14, b"r"), (15, b"")])
def test_an_offset_that_is_not_there_yet_is_waited_for(
    client: FlaskClient, command: FakeCommand, offset: int, data: bytes
) -> None:
    """Who knows how much will be written may ask for its end already."""
    gevent.spawn_later(0.02, command.write, b"la")
    gevent.spawn_later(0.05, command.write, b"ter")
    gevent.spawn_later(0.1, command.end)

    response = client.get(OUTPUT + f"?offset={offset}&wait=30")

    assert response.data == data
    assert _place(response) == (str(offset), str(offset + len(data)), str(not data).lower())


@pytest.mark.parametrize("wait", ["0", "0.05"])
def test_what_does_not_come_in_time_is_nothing_yet(
    client: FlaskClient, command: FakeCommand, wait: str
) -> None:
    """An empty answer, after which the client asks for the same offset again."""
    response = client.get(OUTPUT + f"?offset=11&wait={wait}")

    assert response.data == b""
    assert _place(response) == ("11", "11", "false")


def test_an_end_before_the_offset_is_416(client: FlaskClient, command: FakeCommand) -> None:
    """The command has ended, and what was asked for will never be there."""
    gevent.spawn_later(0.02, command.write, b"!")
    gevent.spawn_later(0.05, command.end)

    response = client.get(OUTPUT + "?offset=12&wait=30")

    assert response.status_code == 416
    assert response.json["detail"] == "only 11 bytes have been written"


def test_an_offset_beyond_the_end_is_416(client: FlaskClient, command: FakeCommand) -> None:
    """A client that counts wrongly, or asks about another command."""
    command.end()

    response = client.get(OUTPUT + "?offset=11&wait=60")

    assert response.status_code == 416
    assert response.json["code"] == "bad_offset"
    assert response.json["detail"] == "only 10 bytes have been written"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("?stream=both", "stream"),
        ("?offset=-1", "offset"),
        ("?offset=1.5", "offset"),
        ("?offset=99999999999999999999", "offset"),
        ("?limit=0", "limit"),
        ("?limit=1048577", "limit"),
        ("?wait=61", "wait"),
        ("?wait=nan", "wait"),
        ("?wait=-1", "wait"),
        ("?stdout=5", "stdout"),
        ("?encoding=base64", "encoding"),
        ("?from=5", "from"),
    ],
)
def test_a_query_that_does_not_fit_is_refused(
    client: FlaskClient, command: FakeCommand, query: str, field: str
) -> None:
    """Also what only event streams know: it would be passed over in silence."""
    response = client.get(OUTPUT + query)

    assert response.status_code == 422
    assert response.json["errors"][0]["loc"] == [field]


def test_only_new_output_of_the_other_stream_is_fetched(
    client: FlaskClient, command: FakeCommand, commands: FakeCommands
) -> None:
    """What it has written already would come over the link only to be dropped."""
    client.get(OUTPUT)
    client.get(OUTPUT + "?stream=stderr&offset=2")

    assert [followed.offsets[2] for followed in commands.followed[:1]] == [5]
    assert commands.followed[1].offsets[1] == 10


def test_a_gateway_that_stops_ends_the_wait(
    client: FlaskClient, command: FakeCommand, waiting: Waiting
) -> None:
    """At once, with 503: the client asks the next gateway."""
    gevent.spawn_later(0.05, waiting.close)

    response = client.get(OUTPUT + "?offset=10&wait=60")

    assert response.status_code == 503
    assert response.json["code"] == "gateway_stopping"


def test_a_link_that_is_lost_for_good_is_502(client: FlaskClient, command: FakeCommand) -> None:
    """The sandbox is still there."""
    gevent.spawn_later(0.02, command.fail, LinkLost("x"))

    assert client.get(OUTPUT + "?offset=10&wait=60").status_code == 502
