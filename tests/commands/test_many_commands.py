"""Thousands of commands on one sandbox leave nothing behind."""

from __future__ import annotations

import pytest

from tests.support.clients import Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

COMMANDS = 2000
MIB = 1024 * 1024


def _agent_fds(connection: Connection, agent_pid: int) -> int:
    return int(connection.output_of(f"ls /proc/{agent_pid}/fd | wc -l"))


def _agent_pid(connection: Connection) -> int:
    """The agent's pid inside the sandbox: it is the parent of every command."""
    return int(connection.output_of("echo $PPID"))


def _run(connection: Connection, first: int, count: int) -> None:
    """`count` commands with codes, outputs and errors that differ, 16 in flight at a time."""
    wanted: dict[str, int] = {}
    sent = 0
    while sent < count or wanted:
        while sent < count and len(wanted) < 16:
            number = first + sent
            code = number % 256
            connection.ask(
                f"echo {number}; echo e{number} >&2; exit {code}",
                request_id=str(number),
                # Every way of asking has something of its own to leave behind.
                **[{}, {"timeout": 60}, {"stdin": "x"}, {"once": True}][number % 4],
            )
            wanted[str(number)] = code
            sent += 1
        result = connection.receive()
        number = result["request_id"]
        assert result["returncode"] == wanted.pop(number), result
        assert (result["output"], result["error"]) == (f"{number}\n", f"e{number}\n")


@pytest.mark.timeout(180)
def test_thousands_of_commands_end_right_and_leave_nothing(own_gateway) -> None:
    """A sandbox lives for days; a descriptor or a kilobyte per command would end it in hours."""
    gateway: GatewayProcess = own_gateway().start_ready()
    sandbox = gateway.create()
    workers = gateway.workers()
    with connect(gateway, sandbox) as connection:
        # The agent keeps what 1,000 finished commands wrote: only after that is it level.
        _run(connection, 0, 1100)
        agent_pid = _agent_pid(connection)
        (agent,) = gateway.engine.agents(sandbox)
        agent_rss, agent_fds = agent.memory_info().rss, _agent_fds(connection, agent_pid)
        worker_fds = [worker.num_fds() for worker in workers]
        worker_rss = gateway.memory()
        _run(connection, 1100, COMMANDS - 1100)
        assert agent.memory_info().rss - agent_rss < 4 * MIB
        eventually(lambda: _agent_fds(connection, agent_pid) <= agent_fds)
        eventually(
            lambda: all(
                now.num_fds() <= before + 2 for now, before in zip(workers, worker_fds, strict=True)
            )
        )
        assert gateway.memory() - worker_rss < 8 * MIB
        assert int(connection.output_of("ps -e --no-headers | wc -l").strip()) < 9
        assert connection.output_of("ps -eo stat --no-headers | grep -c Z || true") == "0\n"


@pytest.mark.parametrize("kind", ["stream", "tty", "session", "interactive"])
def test_no_kind_of_command_leaves_descriptors_in_the_agent(
    shared_gateway: GatewayProcess, module_sandbox: str, kind: str
) -> None:
    """Each has pipes of its own to close."""
    options = {
        "stream": {"stream": True},
        "tty": {"tty": {"cols": 80, "rows": 24}},
        "session": {"session": "many"},
        "interactive": {"interactive": True, "stdin": "x"},
    }[kind]
    with connect(shared_gateway, module_sandbox) as connection:

        def some(count: int) -> None:
            for number in range(count):
                connection.ask(
                    "echo x; exit 3" if kind != "session" else "echo x; (exit 3)", **options
                )
                while "returncode" not in (message := connection.receive()):
                    pass
                assert message["returncode"] == 3, number

        some(5)
        agent = _agent_pid(connection)
        before = _agent_fds(connection, agent)
        some(60)
        eventually(lambda: _agent_fds(connection, agent) <= before)


def test_children_in_the_background_do_not_fill_the_agents_descriptors(
    shared_gateway: GatewayProcess, sandbox: str
) -> None:
    """Each keeps its pipes open, and the agent lets them go with it. How many there may be
    is told by `test_background_children`."""
    with connect(shared_gateway, sandbox) as connection:
        for _ in range(200):
            assert connection.run("sleep 300 &")["returncode"] == 0
        assert connection.output_of("pgrep -u user -xc sleep") == "200\n"
        assert _agent_fds(connection, _agent_pid(connection)) < 450
        connection.run("pkill sleep")
        eventually(lambda: _agent_fds(connection, _agent_pid(connection)) < 40)
