"""Every command starts as a shell would start it: dispositions, mask, words."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.commands.story import Story
from tests.support.clients import Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

WAYS: dict[str, dict[str, object]] = {
    "pipes": {},
    "input": {"stdin": "x"},
    "terminal": {"tty": {"cols": 80, "rows": 24}},
    "session": {"session": "dispositions"},
}

# A shell may ignore and catch what it likes; a program that it starts gets these.
MASKS = "grep -E '^Sig(Blk|Ign):' /proc/self/status"


@pytest.fixture
def connection(shared_gateway: GatewayProcess, module_sandbox: str) -> Iterator[Connection]:
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


@pytest.mark.parametrize("way", WAYS)
def test_nothing_is_ignored_or_blocked_at_the_start(connection: Connection, way: str) -> None:
    """What the agent ignores, a shell that it starts could never trap (POSIX, trap)."""
    result = connection.run(MASKS, **WAYS[way])
    assert [line.split() for line in result["output"].splitlines()] == [
        ["SigBlk:", "0" * 16],
        ["SigIgn:", "0" * 16],
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["HUP", "PIPE", "XFSZ", "INT", "QUIT"])
def test_a_signal_can_be_trapped(connection: Connection, way: str, name: str) -> None:
    """A shell cannot trap what was ignored when it began."""
    command = f"trap 'echo got {name}' {name}; kill -{name} $$; trap - {name}"
    assert connection.run(command, **WAYS[way])["output"].split() == ["got", name]


@pytest.mark.parametrize(("name", "number"), [("HUP", 1), ("PIPE", 13), ("QUIT", 3)])
def test_a_signal_ends_what_does_not_handle_it(
    connection: Connection, name: str, number: int
) -> None:
    """As signal(7) says."""
    connection.ask("echo up; exec sleep 60", request_id=name, stream=True)
    story = Story(name)
    while story.stdout != b"up\n":
        story.take(connection.receive())
    connection.send({"type": "signal", "request_id": name, "signal": name})
    assert story.read(connection).result["returncode"] == 128 + number


def test_jobs_end_with_their_terminal(connection: Connection) -> None:
    """The kernel hangs up on what is in the foreground when its terminal is gone."""
    connection.ask(
        "sleep 7531 & exec sleep 7532", request_id="t", stream=True, tty={"cols": 80, "rows": 24}
    )
    assert connection.receive()["type"] == "started"
    eventually(lambda: connection.run("pgrep -f '[s]leep 753'")["output"].count("\n") == 2)
    connection.run("kill -9 $(pgrep -f '[s]leep 7532')", request_id="killer")
    eventually(lambda: connection.run("pgrep -f '[s]leep 753'")["returncode"] == 1)


@pytest.mark.parametrize(
    "command",
    ["--version", "--help", "-c", "-i", "-x", "--", "-", "+x", "+e", "-o posix"],
)
def test_a_command_that_begins_with_a_dash_is_a_command(
    connection: Connection, command: str
) -> None:
    """The shell took it for an option of its own."""
    result = connection.run(command)
    assert (result["returncode"], result["output"]) == (127, ""), result
    assert "not found" in result["error"]


@pytest.mark.parametrize(
    ("command", "output"), [("-() { echo dash; }; -", "dash\n"), ("", ""), ("# -c", "")]
)
def test_odd_commands_still_run(connection: Connection, command: str, output: str) -> None:
    """The word before the command is no part of it."""
    result = connection.run(command)
    assert (result["returncode"], result["output"]) == (0, output), result


def test_the_shells_own_name_stays(connection: Connection) -> None:
    """`$0` is in every error message, and in scripts."""
    assert connection.output_of("echo $0 $#") == "/bin/bash 0\n"
