"""The end of input ends it on a terminal, too."""

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


@pytest.mark.parametrize(
    ("command", "stdin", "wanted"),
    [
        ("cat", "abc", "abcabc"),
        ("cat", "", ""),
        ("cat", "abc\n", "abc\r\nabc\r\n"),
        ("cat", "a\nbc", "a\r\nbca\r\nbc"),
        ("stty -echo; cat; cat; cat", "abc\n", "abc\r\n"),
        ("stty -echo; head -c 2; cat >/dev/null; wc -c", "abc", "ab0\r\n"),
        ("stty -echo; sleep 0.5; cat", "late", "late"),
        ("stty eof ^X -echo; cat", "abc", "abc"),
        ('stty -echo; read -r line; echo "$? [$line]"', "abc", "1 [abc]\r\n"),
        ("stty -echo; python3 -c 'import sys; print(len(sys.stdin.read()))'", "x" * 300, "300\r\n"),
    ],
)
def test_the_end_of_given_input_ends_it(
    connection: Connection, command: str, stdin: str, wanted: str
) -> None:
    """Whatever stands before it, and however often it is asked for: as on a pipe."""
    result = connection.run(command, within_s=15, tty=SIZE, stdin=stdin)
    # What is typed before `stty -echo` has taken effect is echoed.
    assert result["returncode"] == 0, result
    if "echo" in command:
        assert result["output"].endswith(wanted), result
    else:
        assert sorted(result["output"]) == sorted(wanted), result


@pytest.mark.parametrize("shell", ["bash --norc -i", "python3 -q", "sh -i"])
def test_what_reads_key_by_key_ends_with_its_input(connection: Connection, shell: str) -> None:
    """Shells take the keys by themselves; an end on an empty line is theirs too."""
    assert connection.run(shell, within_s=15, tty=SIZE, stdin="")["returncode"] == 0


@pytest.mark.parametrize("pieces", [["abc"], ["a", "b"], ["line\n", "rest"], ["abc", ""]])
def test_an_end_that_is_sent_later_ends_it(connection: Connection, pieces: list[str]) -> None:
    """`eof` with a message that does not end its line, or after one."""
    request_id = "-".join(pieces).strip()
    connection.ask("echo up; cat; echo over", request_id=request_id, stream=True, tty=SIZE)
    story = Story(request_id)
    while b"up" not in story.stdout:
        story.take(connection.receive())
    for number, piece in enumerate(pieces, start=1):
        connection.send(
            {
                "type": "stdin",
                "request_id": request_id,
                "data": piece,
                "eof": number == len(pieces),
            }
        )
    assert story.read(connection, within_s=15).stdout.endswith(b"over\r\n")


def test_an_interactive_end_is_one_end(connection: Connection) -> None:
    """As Ctrl-D at a prompt: the program that reads gets it, and typing goes on after it."""
    connection.ask(
        "cat; echo between; cat; echo over",
        request_id="two",
        stream=True,
        tty=SIZE,
        interactive=True,
    )
    story = Story("two")
    for eof_after in (b"between", b"over"):
        connection.send({"type": "stdin", "request_id": "two", "data": "x\n", "eof": True})
        while eof_after not in story.stdout:
            story.take(connection.receive(15))
    assert story.read(connection).result["returncode"] == 0
