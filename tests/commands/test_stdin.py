"""Input for commands: text at the start, messages while they run."""

from __future__ import annotations

import base64
import hashlib
import random
import time
from collections.abc import Iterator

import pytest

from tests.commands.story import Story, streamed
from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine


@pytest.fixture
def connection(shared_gateway: GatewayProcess, module_sandbox: str) -> Iterator[Connection]:
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


def _give(connection: Connection, request_id: str, data: str, **fields: object) -> None:
    connection.send({"type": "stdin", "request_id": request_id, "data": data, **fields})


@pytest.mark.parametrize("text", ["", "one\ntwo\n", "no newline", "äöü沙箱😀\n", "x" * 300_000])
def test_stdin_text_arrives_and_ends(connection: Connection, text: str) -> None:
    """`cat` ends only when its input does."""
    result = connection.run("cat", stdin=text)
    assert (result["output"], result["returncode"]) == (text, 0)


def test_without_stdin_input_is_empty(connection: Connection) -> None:
    """A program that asks must not wait for ever."""
    result = connection.run("wc -c")
    assert result["output"].strip() == "0"


def test_stdin_that_nobody_reads_is_dropped(connection: Connection) -> None:
    """`head` is allowed to have had enough."""
    assert connection.run("head -c 1; exit 4", stdin="x" * 500_000)["returncode"] == 4


def test_an_interactive_command_is_talked_to(connection: Connection) -> None:
    """A dialogue: each answer depends on the question before."""
    command = "while read -r line; do echo got $line; done; echo over"
    connection.ask(command, request_id="talk", stream=True, interactive=True)
    story = Story("talk")
    for number in range(3):
        _give(connection, "talk", f"line {number}\n")
        while not story.stdout.endswith(f"got line {number}\n".encode()):
            story.take(connection.receive())
    _give(connection, "talk", "last\n", eof=True)
    story.read(connection)
    assert story.stdout.endswith(b"got last\nover\n")
    assert story.result["returncode"] == 0


def test_stdin_and_interactive_go_together(connection: Connection) -> None:
    """The text comes first and its end is the client's to say."""
    connection.ask("cat", request_id="both", interactive=True, stdin="first ")
    _give(connection, "both", "second ")
    _give(connection, "both", "", eof=True)
    assert connection.receive()["output"] == "first second "


@pytest.mark.parametrize("encoding", ["utf-8", "base64"])
def test_5_mb_arrive_byte_exact(connection: Connection, encoding: str) -> None:
    """Uploads go this way; pieces may neither be lost nor change places nor come twice."""
    choice = random.Random(7)
    digest = hashlib.sha256()
    connection.ask("sha256sum", request_id="sum", interactive=True)
    left = 5_000_000
    while left > 0:
        size = min(left, choice.randrange(1, 500_000))
        if encoding == "base64":
            data = choice.randbytes(size)
            text = base64.b64encode(data).decode()
        else:
            text = "".join(choice.choices("abcdefgh\n沙ä", k=size // 2))
            data = text.encode()
        digest.update(data)
        left -= size
        _give(connection, "sum", text, encoding=encoding)
    _give(connection, "sum", "", eof=True)
    result = connection.receive(60)
    assert result["output"].split()[0] == digest.hexdigest(), result


def test_input_that_is_no_base64_is_a_bad_request(connection: Connection) -> None:
    """Half-decoded input would be worse than none."""
    connection.ask("cat", request_id="cat", interactive=True)
    _give(connection, "cat", "a!b", encoding="base64")
    assert connection.receive()["code"] == "bad_request"
    _give(connection, "cat", "ok", eof=True)
    assert connection.receive()["output"] == "ok"


def test_a_command_without_stdin_refuses_it(connection: Connection) -> None:
    """Input that goes nowhere is said to go nowhere."""
    connection.ask("sleep 1", request_id="deaf")
    _give(connection, "deaf", "hello")
    error = connection.receive()
    assert (error["type"], error["code"], error["request_id"]) == (
        "error",
        "stdin_not_open",
        "deaf",
    )
    assert connection.receive()["returncode"] == 0


def test_after_eof_nothing_more_is_taken(connection: Connection) -> None:
    """The end was the end."""
    connection.ask("cat; sleep 1", request_id="ended", interactive=True)
    _give(connection, "ended", "x", eof=True)
    _give(connection, "ended", "y")
    assert connection.receive()["code"] == "stdin_not_open"
    assert connection.receive()["output"] == "x"


@pytest.mark.parametrize(
    ("request_id", "code"), [("done", "command_finished"), ("never-was", "command_not_found")]
)
def test_input_for_nobody_is_a_typed_error(
    connection: Connection, request_id: str, code: str
) -> None:
    """A race with the end can be told from a wrong id."""
    connection.run("true", request_id="done", interactive=True)
    _give(connection, request_id, "x")
    error = connection.receive()
    assert (error["code"], error["request_id"]) == (code, request_id)


def test_who_does_not_read_holds_up_nobody_else(connection: Connection) -> None:
    """Megabytes for a command that sleeps wait in its own lane; everything else passes them."""
    connection.ask("sleep 60", request_id="sleeper", stream=True, interactive=True)
    assert connection.receive()["type"] == "started"
    for _ in range(6):
        _give(connection, "sleeper", "x" * 500_000)
    for number in range(5):
        began = time.monotonic()
        assert connection.output_of(f"echo {number}") == f"{number}\n"
        assert time.monotonic() - began < 3
    assert connection.run("cat", stdin="other input")["output"] == "other input"
    connection.send({"type": "signal", "request_id": "sleeper", "signal": "TERM"})
    story = Story("sleeper")
    # What it never read may be reported as such, after or before its result.
    while (message := connection.receive()).get("type") == "error":
        assert message["code"] in {"command_finished", "stdin_not_open"}
    story.take(message)
    assert story.result["returncode"] == 143


def test_even_a_flood_for_a_sleeper_lets_its_signal_through(
    shared_gateway: GatewayProcess, module_sandbox: str, connection: Connection
) -> None:
    """Past the bound the flooding connection waits, but another one can end the command."""
    connection.ask("sleep 60", request_id="flooded", stream=True, interactive=True)
    assert connection.receive()["type"] == "started"
    for _ in range(10):
        _give(connection, "flooded", "x" * 800_000)
    with connect(shared_gateway, module_sandbox) as other:
        other.send({"type": "signal", "request_id": "flooded", "signal": "KILL"})
        assert streamed(other, "echo on", "on").stdout == b"on\n"
    kinds = []
    while (message := connection.receive(20)).get("type") != "result":
        kinds.append(message.get("code"))
    assert message["returncode"] == 137
    assert set(kinds) <= {"command_finished", "stdin_not_open"}


@pytest.mark.parametrize("link", ["exec"])
def test_input_works_over_docker_exec(own_gateway, link: str) -> None:
    """The other way to the agent carries input too."""
    gateway = own_gateway(link=link).start_ready()
    data = random.Random(1).randbytes(2_000_000)
    with connect(gateway, gateway.create()) as connection:
        connection.ask("sha256sum", request_id="sum", interactive=True)
        for at in range(0, len(data), 400_000):
            text = base64.b64encode(data[at : at + 400_000]).decode()
            _give(connection, "sum", text, encoding="base64", eof=at + 400_000 >= len(data))
        assert connection.receive()["output"].split()[0] == hashlib.sha256(data).hexdigest()
