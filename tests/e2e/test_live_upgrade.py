"""A gateway is upgraded while commands run: from the last version whose agents spoke protocol 1."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.commands.story import Story, ask_for_rest, streamed
from tests.support.clients import Connection, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.older_version import older_version, start_older

LINES = 400
TICKS = f"for i in $(seq {LINES}); do echo line $i; sleep 0.03; done; echo end >&2; exit 7"
TICKED = "".join(f"line {number}\n" for number in range(1, LINES + 1)).encode()

PROTOCOLS = "grep -ao '@sandbox-agent-[0-9]*' /proc/net/unix | sort -u"
"""Which agents listen in a sandbox."""


class Upgrade:
    """A gateway that was upgraded, with what had begun before."""

    def __init__(self, gateway: GatewayProcess, tree: Path) -> None:
        self.gateway = gateway
        start_older(gateway, tree)
        self.sandbox_id = gateway.create()
        self.ticks = Story("ticks")
        with connect(gateway, self.sandbox_id) as client:
            self.begin(client)
        self.agents = gateway.engine.agents(self.sandbox_id)
        gateway.kill()
        gateway.start_ready()

    def begin(self, client: Connection) -> None:
        """One command of each kind."""
        client.run("cd /tmp; word=kept", session="main")
        once = client.run("echo x >> count; cat count", once=True, request_id="once")
        assert once["output"] == "x\n"
        client.run("head -c 3000000 /dev/zero | tr '\\0' z", request_id="much", stream=False)
        for request_id, command, fields in (
            ("sleeper", "sleep 300", {}),
            ("reader", "sleep 1; sha256sum; true", {"interactive": True}),
            ("shell", "cat -v", {"tty": {"cols": 80, "rows": 24}}),
        ):
            answer = self.gateway.post(
                f"/sandboxes/{self.sandbox_id}/commands",
                json={"command": command, "request_id": request_id, "background": True, **fields},
            )
            assert answer.status_code == 202, answer.text
        client.ask(TICKS, request_id="ticks", stream=True)
        while len(self.ticks.stdout) < 100:
            self.ticks.take(client.receive())


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return older_version(tmp_path_factory.mktemp("older-version"))


@pytest.fixture(scope="module", params=["auto", "exec"])
def upgrade(
    request: pytest.FixtureRequest, tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upgrade]:
    """Killed as by a power cut, and started as today's version over the same data. Both ways to an
    agent."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp(f"upgrade-{request.param}"), link=request.param
    )
    try:
        yield Upgrade(gateway, tree)
    finally:
        print(gateway.log()[-8000:])
        gateway.close()


@pytest.fixture
def client(upgrade: Upgrade) -> Iterator[Connection]:
    with connect(upgrade.gateway, upgrade.sandbox_id) as connection:
        yield connection


def test_the_sandbox_and_its_agent_are_still_there(upgrade: Upgrade) -> None:
    """The agent has the commands: it is neither replaced nor joined by another."""
    assert upgrade.gateway.listed() == {upgrade.sandbox_id}
    [agent] = upgrade.agents
    assert psutil.Process(agent.pid).create_time() == agent.create_time()
    with connect(upgrade.gateway, upgrade.sandbox_id) as client:
        assert client.output_of(PROTOCOLS) == "@sandbox-agent-1\n"
    assert [one.pid for one in upgrade.gateway.engine.agents(upgrade.sandbox_id)] == [agent.pid]


def test_a_command_that_was_followed_is_read_to_its_end(
    upgrade: Upgrade, client: Connection
) -> None:
    """Every byte once, in order, over both versions."""
    story = upgrade.ticks
    ask_for_rest(client, story)
    story.read(client)

    assert (story.stdout, story.stderr, story.gaps) == (TICKED, b"end\n", [])
    assert story.result is not None
    assert story.result["returncode"] == 7


def test_what_had_ended_is_still_known(upgrade: Upgrade, client: Connection) -> None:
    """Its result, all of its output, and that it must not run again."""
    again = client.run("echo x >> count; cat count", once=True, request_id="once")
    assert again["output"] == "x\n"

    answer = upgrade.gateway.get(f"/sandboxes/{upgrade.sandbox_id}/commands/much")
    assert answer.json()["result"]["output"] == "z" * 3_000_000


def test_input_reaches_a_command_that_reads(upgrade: Upgrade, client: Connection) -> None:
    """More than its pipe and the agent hold, in bytes of any value, and its end."""
    data = bytes(range(256)) * 4000
    pieces = [data[at : at + 300_000] for at in range(0, len(data), 300_000)]
    for piece in pieces:
        client.send(
            {"type": "stdin", "request_id": "reader", "eof": piece is pieces[-1]}
            | {"data": base64.b64encode(piece).decode(), "encoding": "base64"}
        )
    client.send({"type": "attach", "request_id": "reader", "stdout": 0, "stderr": 0})
    story = Story("reader").read(client)

    assert story.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_a_terminal_takes_input_signals_and_a_size(upgrade: Upgrade, client: Connection) -> None:
    """All that is asked of a running command."""
    client.send({"type": "resize", "request_id": "shell", "cols": 90, "rows": 30})
    client.send({"type": "stdin", "request_id": "shell", "data": "typed\n"})
    client.send({"type": "attach", "request_id": "shell", "stdout": 0, "stderr": 0})
    story = Story("shell")
    while b"typed\r\ntyped\r\n" not in story.stdout:
        story.take(client.receive())
    client.send({"type": "signal", "request_id": "shell", "signal": "KILL"})
    story.read(client)
    assert story.result is not None
    assert story.result["returncode"] == 137

    client.send({"type": "signal", "request_id": "sleeper", "signal": "TERM"})
    sleeper = f"/sandboxes/{upgrade.sandbox_id}/commands/sleeper"
    eventually(lambda: upgrade.gateway.get(sleeper).json()["status"] == "finished")
    assert upgrade.gateway.get(sleeper).json()["result"]["returncode"] == 143


def test_a_session_has_kept_its_state(client: Connection) -> None:
    """Its shell is the agent's child."""
    assert client.run("echo $word; pwd", session="main")["output"] == "kept\n/tmp\n"


def test_new_commands_of_all_kinds_run(client: Connection) -> None:
    """By a gateway that speaks the older protocol, for as long as the sandbox lives."""
    assert client.run("cat", stdin="given")["output"] == "given"
    assert client.run("wc -c", stdin="", stdin_encoding="base64")["output"].strip() == "0"
    assert client.run("echo $A; pwd", env={"A": "b"}, cwd="/")["output"] == "b\n/\n"
    assert client.run("sleep 9", timeout=0.2)["returncode"] == 124
    # Frames of single lines and of megabytes: older agents know nothing of credit in frames.
    lines = streamed(client, "for i in $(seq 3000); do echo $i; done", "lines")
    assert lines.stdout == b"".join(b"%d\n" % number for number in range(1, 3001))
    much = streamed(client, "head -c 5000000 /dev/zero | tr '\\0' y", "much-more")
    assert much.stdout == b"y" * 5_000_000
    assert len(client.run("head -c 900000 /dev/zero | tr '\\0' y")["output"]) == 900_000


def test_a_new_sandbox_gets_a_new_agent(upgrade: Upgrade) -> None:
    """Only what is there already is spoken to as before."""
    sandbox_id = upgrade.gateway.create()
    with connect(upgrade.gateway, sandbox_id) as client:
        assert client.output_of(PROTOCOLS) == "@sandbox-agent-2\n"
    upgrade.gateway.delete(f"/sandboxes/{sandbox_id}")


def test_when_the_older_agent_has_died_a_new_one_takes_its_place(upgrade: Upgrade) -> None:
    """The last test of this sandbox: nothing that runs is left to be lost."""
    for agent in upgrade.agents:
        agent.kill()

    def runs() -> bool:
        with connect(upgrade.gateway, upgrade.sandbox_id) as client:
            return client.run(PROTOCOLS).get("output") == "@sandbox-agent-2\n"

    eventually(runs)
