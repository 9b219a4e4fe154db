"""Input that cannot be written: told, and never in the way of what comes after it."""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.commands.story import Story
from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

MIB = 1024 * 1024


@pytest.fixture
def connection(shared_gateway: GatewayProcess, module_sandbox: str) -> Iterator[Connection]:
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


def _give(connection: Connection, request_id: str, data: str, **fields: object) -> None:
    connection.send({"type": "stdin", "request_id": request_id, "data": data, **fields})


def _next(connection: Connection, **wanted: object) -> dict[str, Any]:
    """The next message that has these fields."""
    while True:
        message = connection.receive(30)
        if all(message.get(name) == value for name, value in wanted.items()):
            return message


@pytest.mark.parametrize("pieces", [7, 12], ids=["much", "too-much"])
def test_a_socket_whose_command_does_not_read_takes_everything_else(
    connection: Connection, pieces: int
) -> None:
    """From 4 MiB on such a connection was not read any more: no ping, and no signal."""
    name = f"deaf{pieces}"
    connection.ask("sleep 100", request_id=name, stream=True, interactive=True)
    assert _next(connection, request_id=name)["type"] == "started"
    for _ in range(pieces):
        _give(connection, name, "x" * 900_000)
    began = time.monotonic()
    connection.send({"type": "ping"})
    connection.send({"type": "list"})
    _next(connection, type="pong")
    _next(connection, type="commands")
    connection.ask("cat", request_id="other", stdin="heard")
    assert _next(connection, request_id="other")["output"] == "heard"
    connection.send({"type": "signal", "request_id": name, "signal": "KILL"})
    assert _next(connection, request_id=name, type="result")["returncode"] == 137
    assert time.monotonic() - began < 15


def test_after_refused_input_nothing_that_follows_is_written(connection: Connection) -> None:
    """The client knows what was written: all before the first refusal, and nothing after it."""
    taken = 8 * 900_000
    command = (
        f"until [ -e /tmp/read ]; do sleep 0.1; done; head -c {taken} | sha256sum; "
        "timeout 1 cat | grep -c after"
    )
    connection.ask(command, request_id="late", interactive=True)
    for _ in range(12):
        _give(connection, "late", "x" * 900_000)
    assert connection.receive(20)["code"] == "stdin_full"
    connection.ask("touch /tmp/read", request_id="go")
    _next(connection, request_id="go")
    _give(connection, "late", "after", eof=True)
    assert connection.receive()["code"] == "stdin_full"
    digest, number = _next(connection, request_id="late", command=command)["output"].split("  -\n")
    assert (digest, number) == (hashlib.sha256(b"x" * taken).hexdigest(), "0\n")


def test_a_slow_reader_gets_every_byte(connection: Connection) -> None:
    """Back-pressure, not refusals, is for those who read."""
    data = random.Random(3).randbytes(9 * MIB)
    read = "for i in $(seq 8); do head -c 1200000; sleep 0.3; done"
    connection.ask(f"{read} | sha256sum", request_id="slow", interactive=True)
    for at in range(0, len(data), 600_000):
        text = base64.b64encode(data[at : at + 600_000]).decode()
        _give(connection, "slow", text, encoding="base64", eof=at + 600_000 >= len(data))
    result = connection.receive(60)
    assert result["output"].split()[0] == hashlib.sha256(data).hexdigest(), result


BYTES = bytes(range(256)) * 40


@pytest.mark.parametrize("encoding", ["utf-8", "base64"])
def test_stdin_means_the_same_over_rest_and_on_the_socket(
    shared_gateway: GatewayProcess, module_sandbox: str, connection: Connection, encoding: str
) -> None:
    """`encoding` is that of the output; what stdin is written in is said by `stdin_encoding`."""
    address = f"/sandboxes/{module_sandbox}/commands"
    packed = base64.b64encode(BYTES).decode()
    text = {"command": "cat", "stdin": "YWJj\n", "encoding": encoding}
    data = {**text, "stdin": packed, "stdin_encoding": "base64"}
    shown = [
        base64.b64encode(b"YWJj\n").decode() if encoding == "base64" else "YWJj\n",
        packed if encoding == "base64" else BYTES.decode("utf-8", "replace"),
    ]
    for fields, output in zip((text, data), shown, strict=True):
        assert shared_gateway.post(address, json=fields).json()["output"] == output
        assert connection.run(**fields)["output"] == output


def test_stdin_that_is_no_base64_is_refused_on_both(
    shared_gateway: GatewayProcess, module_sandbox: str, connection: Connection
) -> None:
    """Half-decoded input would be worse than none."""
    fields = {"command": "cat", "stdin": "a!b", "stdin_encoding": "base64"}
    answer = shared_gateway.post(f"/sandboxes/{module_sandbox}/commands", json=fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_fields")
    connection.ask(**fields)
    assert connection.receive()["code"] == "bad_request"


LONG = "x" * 5000 + "\n"


def test_a_terminal_line_that_would_be_cut_is_refused_with_the_command(
    shared_gateway: GatewayProcess, module_sandbox: str, connection: Connection
) -> None:
    """The kernel would cut it at 4,095 bytes, and nobody would know."""
    fields = {"command": "wc -c", "tty": {}, "stdin": LONG}
    answer = shared_gateway.post(f"/sandboxes/{module_sandbox}/commands", json=fields)
    assert (answer.status_code, answer.json()["code"]) == (422, "line_too_long")
    connection.ask(**fields)
    assert connection.receive()["code"] == "line_too_long"
    longest = {**fields, "command": "stty -echo; wc -c", "stdin": "x" * 4095 + "\n"}
    assert connection.run(**longest)["output"].strip().endswith("4096")


def test_a_terminal_line_that_would_be_cut_is_refused_as_input(
    shared_gateway: GatewayProcess, module_sandbox: str, connection: Connection
) -> None:
    """On the socket and over REST; what fits is written before and after it."""
    command = "stty -echo; echo up; head -n 2 | wc -c"
    connection.ask(command, request_id="line", stream=True, tty={})
    story = Story("line")
    while b"up" not in story.stdout:
        story.take(connection.receive())
    _give(connection, "line", LONG)
    assert connection.receive()["code"] == "line_too_long"
    address = f"/sandboxes/{module_sandbox}/commands/line/stdin"
    answer = shared_gateway.post(address, json={"data": LONG})
    assert (answer.status_code, answer.json()["code"]) == (422, "line_too_long")
    _give(connection, "line", "x" * 4000 + "\n")
    assert shared_gateway.post(address, json={"data": "y" * 10 + "\n"}).status_code == 204
    story.read(connection)
    assert story.stdout.split()[-1] == b"4012"


def test_a_program_that_reads_a_terminal_raw_takes_any_length(connection: Connection) -> None:
    """Editors do; a line is nothing to them."""
    connection.ask(
        "stty raw -echo; echo up; head -c 20000 | sha256sum",
        request_id="raw",
        stream=True,
        tty={},
    )
    story = Story("raw")
    while b"up" not in story.stdout:
        story.take(connection.receive())
    _give(connection, "raw", "abcde" * 4000)
    story.read(connection)
    assert story.stdout.split()[1].decode() == hashlib.sha256(b"abcde" * 4000).hexdigest()
