"""What runs on in the background lives on, whatever number of commands follows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clients import Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

FOLLOWING = 160
"""Commands after it. Each leaves two pipes, and 256 were the most that the agent kept."""

TICKER = "(while sleep 0.1; do echo tick || exit; done) & echo $!"


@pytest.fixture
def connection(gateway: GatewayProcess, sandbox: str) -> Iterator[Connection]:
    with connect(gateway, sandbox) as opened:
        yield opened


def _follow(connection: Connection, command: str, count: int, **fields: object) -> None:
    """So many commands, sixteen in flight at a time."""
    sent = received = 0
    while received < count:
        while sent < count and sent - received < 16:
            connection.ask(command, request_id=f"follows-{sent}", **fields)
            sent += 1
        assert connection.receive()["returncode"] == 0
        received += 1


def _lives(connection: Connection, pid: str) -> bool:
    return connection.run(f"kill -0 {pid}")["returncode"] == 0


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("true", {"session": "s"}),
        ("sleep 0.02 &", {}),
        ("true", {}),
        ("echo out; echo err >&2; (sleep 0.01; echo late) &", {"session": "s"}),
    ],
)
def test_a_writer_in_the_background_survives_what_follows(
    connection: Connection, command: str, fields: dict[str, object]
) -> None:
    """A development server that dies of SIGPIPE after 130 commands is no server."""
    pid = connection.output_of(TICKER).strip()
    _follow(connection, command, FOLLOWING, **fields)
    # Alone it would die at its next write only.
    ticks = int(connection.output_of(f"cut -d ' ' -f 17 /proc/{pid}/stat"))
    eventually(
        lambda: (
            int(connection.output_of(f"cut -d ' ' -f 17 /proc/{pid}/stat")) >= ticks
            and _lives(connection, pid)
        )
    )
    connection.output_of("sleep 0.3")
    assert _lives(connection, pid)


def test_a_server_in_the_background_answers_after_what_follows(connection: Connection) -> None:
    """It writes a line of its log for each request, to the pipe of a command of long ago."""
    connection.output_of("python3 -u -m http.server 9001 & echo $! >/tmp/pid")
    fetch = "curl -s -o /dev/null --retry 20 --retry-connrefused --retry-delay 1 127.0.0.1:9001"
    connection.output_of(fetch)
    _follow(connection, "true", FOLLOWING, session="s")
    for _ in range(3):
        assert connection.run(fetch)["returncode"] == 0
    assert connection.run("kill -0 $(cat /tmp/pid)")["returncode"] == 0


def test_a_flood_in_the_background_survives_what_follows(connection: Connection) -> None:
    """Whatever it writes: what nobody reads any more is thrown away."""
    # Not from its output, to which the flood writes as well.
    connection.output_of("(while echo $RANDOM; do :; done) & echo $! >/tmp/pid")
    pid = connection.output_of("cat /tmp/pid").strip()
    _follow(connection, "true", FOLLOWING)
    assert _lives(connection, pid)
    connection.output_of(f"kill {pid}")


def test_hundreds_in_the_background_all_live(connection: Connection) -> None:
    """Truly open pipes were closed too, when they were more than 256."""
    _follow(connection, TICKER + " >>/tmp/pids", 10)
    _follow(connection, "sleep 600 & echo $! >>/tmp/pids", 140)
    connection.output_of("sleep 0.5")
    alive = connection.output_of("for p in $(cat /tmp/pids); do kill -0 $p && echo $p; done")
    assert len(alive.split()) == 150


def test_more_pipes_than_the_agent_has_descriptors_for_stay_open(
    connection: Connection,
) -> None:
    """One process can hold a pipe of every command. Before the agent has no descriptor left for its
    links, others take the pipes over."""
    pid = connection.output_of(TICKER).strip()
    agent = connection.output_of("echo $PPID").strip()
    # 512 of them are held back; so some 80 commands in the background are too many.
    connection.output_of(f"prlimit --pid {agent} --nofile=700:700")
    _follow(connection, "sleep 600 & echo $! >>/tmp/pids", 200)
    assert int(connection.output_of(f"ls /proc/{agent}/fd | wc -l")) < 250
    assert _lives(connection, pid)
    alive = connection.output_of("for p in $(cat /tmp/pids); do kill -0 $p && echo $p; done")
    assert len(alive.split()) == 200
    connection.output_of("kill $(cat /tmp/pids)")
    # Two of them, for the pipes that the ticker still holds; the rest has ended with its pipes.
    eventually(lambda: connection.output_of("pgrep -c sbxgwd").strip() == "2")
    assert _lives(connection, pid)


def test_a_pipe_that_lingers_keeps_nothing_of_its_command(
    connection: Connection, gateway: GatewayProcess, sandbox: str
) -> None:
    """What the command wrote is kept for ten minutes; its pipes may be open for days."""
    agent = connection.output_of("echo $PPID").strip()
    before = _pipes(connection, agent)
    connection.output_of("sleep 600 & echo $! >/tmp/holder")
    held = set(connection.output_of("readlink /proc/$(cat /tmp/holder)/fd/[12]").split())
    assert len(held) == 2
    # The agent may be about to close those of the command before.
    eventually(lambda: _pipes(connection, agent) - before == held)
    connection.output_of("kill $(cat /tmp/holder)")
    eventually(lambda: _pipes(connection, agent) <= before)


def _pipes(connection: Connection, agent: str) -> set[str]:
    """The pipes that the agent has open, without those of the command that asks."""
    own = "readlink /proc/$$/fd/[12]"
    return set(
        connection.output_of(
            f'own=$({own}); readlink /proc/{agent}/fd/* | grep ^pipe: | grep -vxF "$own"; true'
        ).split()
    )
