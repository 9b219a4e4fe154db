"""Frames that are no valid request: answered with `bad_request`, and the connection goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.clients import LIBRARIES, Connection, connect
from tests.support.gateway_process import GatewayProcess

BAD = {
    "not json": "not json",
    "empty": "",
    "blank": "   ",
    "cut off": '{"command": "echo',
    "trailing": '{"command": "true"} x',
    "two objects": '{"command": "true"}{"command": "true"}',
    "array": '["true"]',
    "string": '"true"',
    "number": "1",
    "null": "null",
    "true": "true",
    "no command": "{}",
    "command is null": '{"command": null}',
    "command is a number": '{"command": 7}',
    "command is a list": '{"command": ["ls", "-la"]}',
    "command is an object": '{"command": {"run": "ls"}}',
    "unknown field": '{"command": "true", "comand": "false"}',
    "request_id is a number": '{"command": "true", "request_id": 7}',
    "request_id is a list": '{"command": "true", "request_id": []}',
    "request_id is too long": json.dumps({"command": "true", "request_id": "x" * 257}),
    "NUL in the command": '{"command": "echo a\\u0000b"}',
    "lone surrogate": '{"command": "echo \\ud800"}',
    "lone surrogate in the id": '{"command": "true", "request_id": "\\udfff"}',
    "nesting of lists": "[" * 10_000 + "]" * 10_000,
    "nesting of objects": '{"command":' * 10_000 + "1" + "}" * 10_000,
    "nesting that never ends": "[" * 100_000,
    "huge number": '{"command": 1' + "0" * 100_000 + "}",
    "huge exponent": '{"command": 1e999999999}',
    "NaN": '{"command": NaN}',
    "infinity": '{"command": -Infinity}',
    "a name twice": '{"command": "true", "command": "touch /tmp/second"}',
    "a name twice further down": '{"command": "true", "env": {"A": "1", "A": "2"}}',
    "type twice": '{"type": "ping", "type": "list"}',
    "single quotes": "{'command': 'true'}",
    "comment": '{"command": "true" /* why */}',
    "byte order mark": '\ufeff{"command": "true"',
    "http": "GET / HTTP/1.1\r\n\r\n",
}


@pytest.fixture(params=LIBRARIES)
def client(
    gateway: GatewayProcess, module_sandbox: str, request: pytest.FixtureRequest
) -> Iterator[Connection]:
    with connect(gateway, module_sandbox, request.param) as connection:
        yield connection


def _expect_bad_request(client: Connection) -> dict:
    error = client.receive(within_s=10)
    assert error["type"] == "error"
    assert error["code"] == "bad_request"
    assert isinstance(error["message"], str)
    assert error["message"]
    assert set(error) <= {"type", "code", "message", "detail", "request_id"}
    return error


@pytest.mark.parametrize("frame", BAD.values(), ids=BAD.keys())
def test_a_bad_frame_is_answered_and_the_connection_stays_usable(
    client: Connection, frame: str
) -> None:
    """One malformed frame used to be enough to write an HTTP 500 into the open WebSocket."""
    client.client.send_text(frame)
    error = _expect_bad_request(client)

    assert len(json.dumps(error)) < 2_000
    assert client.output_of("echo usable") == "usable\n"


def test_a_binary_frame_is_a_bad_request(client: Connection) -> None:
    """Requests are text frames; a binary one may hold anything."""
    client.client.send_binary(b'{"command": "true"}')
    _expect_bad_request(client)
    client.client.send_binary(b"\x00\xff\xfe")
    _expect_bad_request(client)

    assert client.output_of("echo usable") == "usable\n"


@pytest.mark.parametrize(
    "frame",
    [
        '{"request_id": "mine"}',
        '{"request_id": "mine", "command": 7}',
        '{"command": "true", "request_id": "mine", "unknown": 1}',
        '{"command": "a\\u0000b", "request_id": "mine"}',
    ],
)
def test_the_error_carries_the_request_id_where_one_could_be_read(
    client: Connection, frame: str
) -> None:
    """Otherwise a client with several requests in flight waits for ever for one of them."""
    client.client.send_text(frame)

    assert _expect_bad_request(client)["request_id"] == "mine"


def test_no_request_id_is_made_up_for_a_frame_without_one(client: Connection) -> None:
    """A generated id would be one that the client has never seen."""
    client.client.send_text("not json")

    assert "request_id" not in _expect_bad_request(client)


def test_a_duplicate_key_does_not_run_two_meanings(client: Connection) -> None:
    """Two parsers may disagree on which value counts: refused, or exactly one of them is run and
    echoed."""
    client.client.send_text('{"command": "echo one", "command": "echo two", "request_id": "d"}')
    answer = client.receive()

    if answer.get("type") == "error":
        assert answer["code"] == "bad_request"
    else:
        assert answer["command"] == "echo two"
        assert answer["output"] == "two\n"


def test_errors_speak_the_language_of_the_upgrade_request(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """`message` is for people; `Accept-Language` came with the handshake."""
    texts = set()
    for language in ("en", "it", "zh"):
        with connect(
            gateway, module_sandbox, header=[f"Accept-Language: {language}"]
        ) as connection:
            connection.client.send_text("not json")
            texts.add(_expect_bad_request(connection)["message"])

    assert len(texts) == 3


def test_hundreds_of_bad_frames_do_not_end_the_connection(client: Connection) -> None:
    """A client in a loop with a bug is still a client; each frame gets its own answer."""
    for number in range(300):
        client.client.send_text(json.dumps({"request_id": str(number)}))
    ids = [_expect_bad_request(client)["request_id"] for _ in range(300)]

    assert ids == [str(number) for number in range(300)]
    assert client.output_of("echo usable") == "usable\n"


def test_good_frames_among_bad_ones_are_answered(client: Connection) -> None:
    """An error must not take the place of a result, nor the other way round."""
    for number in range(50):
        client.client.send_text("{" if number % 2 else f'{{"command": "echo {number}"}}')
    answers = [client.receive() for _ in range(50)]

    errors = [answer for answer in answers if answer.get("type") == "error"]
    outputs = {answer["output"] for answer in answers if "output" in answer}
    assert len(errors) == 25
    assert outputs == {f"{number}\n" for number in range(0, 50, 2)}
