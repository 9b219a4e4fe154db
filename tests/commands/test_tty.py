"""Commands on a pseudo-terminal, by the ordinary socket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.commands.story import Story
from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

SIZE = {"cols": 80, "rows": 24}


@pytest.fixture
def connection(shared_gateway: GatewayProcess, module_sandbox: str) -> Iterator[Connection]:
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


def test_a_tty_is_a_terminal_of_the_asked_size(connection: Connection) -> None:
    """Programs draw for what they are told."""
    command = "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all"
    result = connection.run(command, tty={"cols": 132, "rows": 43})
    assert "/dev/pts/" in result["output"]
    assert result["output"].splitlines()[1:] == ["43 132", "all"]
    assert result["returncode"] == 0


def test_stdout_and_stderr_merge_on_a_tty(connection: Connection) -> None:
    """There is one screen, and the order on it is that of the writes."""
    result = connection.run("echo a; echo b >&2; echo c", tty=SIZE)
    assert (result["output"], result["error"]) == ("a\r\nb\r\nc\r\n", "")


def _on_tty(connection: Connection, command: str, request_id: str) -> Story:
    connection.ask(command, request_id=request_id, stream=True, tty=SIZE)
    story = Story(request_id)
    while b"up" not in story.stdout:
        story.take(connection.receive())
    return story


def test_a_resize_reaches_the_command(connection: Connection) -> None:
    """The program learns by SIGWINCH, as in any terminal."""
    command = "trap 'stty size; exit 0' WINCH; echo up; while :; do sleep 0.1; done"
    story = _on_tty(connection, command, "resized")
    connection.send({"type": "resize", "request_id": "resized", "cols": 120, "rows": 40})
    assert b"40 120" in story.read(connection).stdout


def test_control_c_is_input(connection: Connection) -> None:
    """The terminal makes a signal of it, for what is in the foreground."""
    story = _on_tty(connection, "echo up; sleep 60; echo not reached", "interrupted")
    connection.send({"type": "stdin", "request_id": "interrupted", "data": "\x03"})
    story.read(connection)
    assert story.result["returncode"] == 130
    assert b"not reached" not in story.stdout.split(b"up", 1)[1]


def test_control_d_ends_input_on_a_tty(connection: Connection) -> None:
    """`eof` means the same on a terminal as on a pipe."""
    story = _on_tty(connection, "echo up; cat", "ended")
    connection.send({"type": "stdin", "request_id": "ended", "data": "hello\n", "eof": True})
    story.read(connection, within_s=10)
    assert story.stdout.endswith(b"hello\r\n")
    assert story.result["returncode"] == 0


def test_resize_without_a_terminal_is_a_typed_error(connection: Connection) -> None:
    """There is nothing to resize, and the client should know."""
    connection.ask("sleep 0.5", request_id="pipes")
    connection.send({"type": "resize", "request_id": "pipes", "cols": 80, "rows": 24})
    assert connection.receive()["code"] == "no_terminal"
    assert connection.receive()["returncode"] == 0


def test_nothing_by_nothing_is_the_usual_size(connection: Connection) -> None:
    """What a program finds out about a pipe, and passes on."""
    result = connection.run("stty size", tty={"cols": 0, "rows": 0})
    assert result["output"] == "24 80\r\n"


def test_a_resize_to_nothing_is_the_usual_size(connection: Connection) -> None:
    """A terminal that somebody has detached from says so."""
    asked = {"tty": {"cols": 100, "rows": 30}, "interactive": True, "request_id": "detached"}
    connection.send({"command": "read WORD; stty size", **asked})
    connection.send({"type": "resize", "request_id": "detached", "cols": 0, "rows": 0})
    connection.send({"type": "stdin", "request_id": "detached", "data": "now\n"})
    assert connection.receive()["output"].endswith("24 80\r\n")


@pytest.mark.parametrize(
    "size",
    [
        {"cols": 0, "rows": 24},
        {"cols": 80, "rows": 1001},
        {"cols": "8"},
        {"cols": 0.0, "rows": 0.0},
    ],
)
def test_a_size_that_is_none_is_a_bad_request(connection: Connection, size: dict) -> None:
    """Before anything runs."""
    assert connection.run("true", tty=size)["code"] == "bad_request"


def test_much_output_through_a_terminal_comes_whole(connection: Connection) -> None:
    """A terminal hands on its last output after the program has exited."""
    for _ in range(5):
        result = connection.run("seq 1 20000", tty=SIZE)
        assert len(result["output"].split()) == 20000
