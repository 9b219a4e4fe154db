"""Nobody ends the sandbox's agent by the name of a program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clients import Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

BY_NAME = (
    "pkill python",
    "pkill -f python",
    "pkill -9 -f python3",
    "killall python3",
    "killall -9 -r 'python.*'",
    "killall /usr/bin/python3",
    "killall $(readlink -f /usr/bin/python3)",
    "kill $(pgrep python3)",
    "kill -9 $(pidof python3)",
    "kill -9 $(pidof /usr/bin/python3.11)",
    "kill -9 $(ps aux | grep '[p]ython' | awk '{print $2}')",
    "pkill -f '[s]erver.py|http.server|node|bash -c'",
    "pkill -HUP -u user -f agent.py",
)


@pytest.fixture(scope="module", params=["auto", "exec"])
def place(
    request: pytest.FixtureRequest,
    shared_gateway: GatewayProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[GatewayProcess, str]]:
    """A sandbox whose agent is reached directly, and one behind docker exec."""
    if request.param == "auto":
        sandbox_id = shared_gateway.create()
        yield shared_gateway, sandbox_id
        shared_gateway.delete(f"/sandboxes/{sandbox_id}")
        return
    gateway = GatewayProcess(tmp_path_factory.mktemp("exec"), link="exec", workers="1")
    try:
        yield gateway.start_ready(), gateway.create()
    finally:
        gateway.close()


@pytest.fixture
def connection(place: tuple[GatewayProcess, str]) -> Iterator[Connection]:
    with connect(*place) as opened:
        yield opened


@pytest.mark.parametrize("command", BY_NAME)
def test_a_name_does_not_reach_the_agent(connection: Connection, command: str) -> None:
    """With it other commands, sessions and kept output would go."""
    connection.run("x=kept", session="main")
    # Something of the user's to hit: it must still be found.
    connection.ask("exec sleep 60", request_id="other", stream=True)
    assert connection.receive()["type"] == "started"
    agent = connection.output_of("echo $PPID")
    connection.run(command, session="other", request_id="by-name")
    assert connection.output_of("echo $PPID") == agent
    assert connection.run("echo $x", session="main")["output"] == "kept\n"
    connection.send({"type": "signal", "request_id": "other", "signal": "KILL"})
    assert connection.receive()["returncode"] == 137


def test_no_process_of_the_gateway_is_called_python(connection: Connection) -> None:
    """In what ps, top and /proc say: its name, its arguments, its program."""
    shown = connection.output_of(
        "for p in /proc/[0-9]*; do "
        '[ "${p#/proc/}" = $$ ] || echo "$(cat $p/comm) $(tr "\\0" " " <$p/cmdline) '
        '$(readlink $p/exe)"; done 2>/dev/null'
    )
    assert shown
    assert "python" not in shown


def test_users_programs_are_still_found(connection: Connection) -> None:
    """The agent hides; nothing else does."""
    pid = connection.output_of("python3 -c 'import time; time.sleep(60)' & echo $!")
    eventually(lambda: connection.run("pidof python3")["output"] == pid)
    assert connection.run("pkill python")["returncode"] == 0
    eventually(lambda: connection.run("pgrep python")["returncode"] == 1)


@pytest.mark.parametrize("signal", ["HUP", "INT", "TERM", "USR1", "QUIT", "ALRM"])
def test_signals_that_can_be_caught_do_not_end_the_agent(
    connection: Connection, signal: str
) -> None:
    """`pkill -u user` hits it like everything of the user's: only KILL and STOP do harm."""
    agent = connection.output_of("echo $PPID")
    connection.run(f"kill -{signal} $PPID")
    assert connection.output_of("echo $PPID") == agent


def test_a_module_in_the_home_directory_is_not_the_agents(
    shared_gateway: GatewayProcess,
) -> None:
    """Python looks for modules in the working directory first, if it is let."""
    sandbox = shared_gateway.create()
    spoil = "for m in struct json socket os base64 selectors; do echo 'exit(1)' >~/$m.py; done"
    with connect(shared_gateway, sandbox) as connection:
        agent = connection.output_of(f"{spoil}; echo $PPID")
        connection.run("kill -9 $PPID")
        eventually(lambda: connection.output_of("echo $PPID") != agent, within_s=20)
    shared_gateway.delete(f"/sandboxes/{sandbox}")
