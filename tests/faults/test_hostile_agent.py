"""A program in a sandbox takes its agent's place: every byte from it is hostile.

It may say what it likes about its own sandbox. It must not stop the gateway for others, fill its
memory, or write its log.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from tests.support.clients import Connection, connect
from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.hostile_agent import (
    CLOSE,
    HELLO,
    SERVE,
    HostileAgent,
    Step,
    hostile_agent,
    serve_until,
)
from tests.support.leak_oracle import leak_oracle
from tests.support.strain import Strain, strain_of

SLOWEST_S = 0.25
LARGEST_GROWTH = 64 * 1024 * 1024

SMALL_BUFFER = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)]
"""So that the kernel takes little for a client that does not read."""


@pytest.fixture(scope="module", params=["auto", "exec"])
def shared_gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """One worker, so that nobody else answers for it; both ways to an agent."""
    directory = tmp_path_factory.mktemp(f"hostile-{request.param}")
    gateway = GatewayProcess(directory, workers="1", link=request.param)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@contextmanager
def bounded_strain(gateway: GatewayProcess) -> Iterator[Strain]:
    """Whatever happens inside, others are served in time and memory stays."""
    with strain_of(gateway) as strain:
        yield strain
    assert strain.probes > 3
    assert strain.slowest_s < SLOWEST_S
    assert strain.growth < LARGEST_GROWTH


@contextmanager
def each_in_its_sandbox(
    gateway: GatewayProcess, scripts: dict[str, list[Step]], protocol: int = 2
) -> Iterator[dict[str, HostileAgent]]:
    """A hostile agent for each script, all at once."""
    with ExitStack() as stack, ThreadPoolExecutor(len(scripts)) as pool:

        def begin(steps: list[Step]) -> HostileAgent:
            sandbox_id = gateway.create()
            stack.callback(gateway.delete, f"/sandboxes/{sandbox_id}")
            return stack.enter_context(hostile_agent(gateway, sandbox_id, steps, protocol=protocol))

        yield dict(zip(scripts, pool.map(begin, scripts.values()), strict=True))


@pytest.mark.parametrize("protocol", [1, 2])
def test_it_is_taken_for_the_agent(gateway: GatewayProcess, sandbox: str, protocol: int) -> None:
    """Who owns the socket is the agent, as far as a gateway can know: what it says is passed on as
    the command's end, and nobody else hears of it."""
    way = "exec" if "exec" in str(gateway.directory) else "direct"
    hostile = hostile_agent(gateway, sandbox, [HELLO, SERVE], protocol=protocol)
    with hostile as agent, connect(gateway, sandbox) as c:

        def ends_at_its_word() -> bool:
            answer = c.run("echo never run")
            # The link before it was that of the agent which is dead now.
            return (answer.get("returncode"), answer.get("output")) == (0, "")

        eventually(ends_at_its_word)
        assert agent.was_asked("run")
        assert f"link {way}" in agent.notes()


def _frames(kind: int, channel: int, *payload: list[object]) -> Step:
    return {"do": "frame", "kind": kind, "channel": channel, "payload": list(payload), "seconds": 2}


FLOODS: dict[str, list[Step]] = {
    "empty frames on no channel": [_frames(3, 77)],
    "output on no channel": [_frames(4, 4_000_000_000, ["\0", 9])],
    "credit": [
        {"do": "frame", "kind": 5, "payload": [["\0", 4], ["\1", 1], ["\0", 4]], "seconds": 0.2}
    ],
    "greetings": [_frames(1, 0, ["{}", 1])],
    "bytes that are no frames": [{"do": "raw", "bytes": [["\xff", 100_000]], "seconds": 2}],
    "gaps": [{"do": "gaps", "times": 300_000}],
    "a frame byte by byte": [{"do": "drip", "seconds": 0.2}],
}


def test_no_flood_holds_up_others(gateway: GatewayProcess) -> None:
    """Bytes that are always ready kept the hub from running: six such links, and all workers hung
    for half a minute. The command itself gets a typed error in good time."""
    scripts = {name: [HELLO, serve_until("run"), *flood, CLOSE] for name, flood in FLOODS.items()}
    with each_in_its_sandbox(gateway, scripts) as agents, bounded_strain(gateway):

        def answered(agent: HostileAgent) -> tuple[int, dict[str, Any]]:
            path = f"/sandboxes/{agent.sandbox_id}/commands"
            answer = gateway.post(path, json={"command": "true"})
            return answer.status_code, answer.json()

        with ThreadPoolExecutor(len(agents)) as pool:
            answers = dict(zip(agents, pool.map(answered, agents.values()), strict=True))

        for name, (status, problem) in answers.items():
            assert (status, problem["code"]) == (502, "command_lost"), (name, problem)
            assert agents[name].was_asked("run"), name


UNREAD: dict[str, list[Step]] = {
    "gaps": [{"do": "gaps", "times": 400_000, "prepared": True}],
    "bytes": [{"do": "data", "size": 1, "times": 250_000, "streams": [1, 2], "prepared": True}],
    "starts": [
        {
            "do": "event",
            "event": {"event": "started", "pid": 1, "meta": {"x": {"$repeat": ["x", 3 << 20]}}},
            "times": 100,
        }
    ],
    "many values": [
        {
            "do": "event",
            "event": {"event": "started", "pid": 1, "meta": {"x": {"$many": [[], 1_000_000]}}},
            "times": 20,
        }
    ],
    "ends": [
        {
            "do": "event",
            "event": {"event": "exit", "returncode": 0, "stdout": 0, "stderr": 0}
            | {"failure": {"$repeat": ["x", 1 << 20]}},
            "times": 200,
        }
    ],
    "refusals": [
        {
            "do": "event",
            "event": {"event": "refused", "code": "x", "detail": {"$repeat": ["x", 1 << 20]}},
            "times": 200,
        }
    ],
}


@pytest.mark.parametrize("protocol", [1, 2])
def test_what_nobody_reads_does_not_pile_up(gateway: GatewayProcess, protocol: int) -> None:
    """Towards clients that follow and do not read, a worker grew to 579 MB within two seconds:
    credit counts bytes of output, and what is one byte there takes some 350 here."""
    scripts = {name: [HELLO, serve_until("run"), *flood, CLOSE] for name, flood in UNREAD.items()}
    hostile = each_in_its_sandbox(gateway, scripts, protocol)
    with hostile as agents, bounded_strain(gateway) as strain:
        for agent in agents.values():
            connect(gateway, agent.sandbox_id, sockopt=SMALL_BUFFER).ask("true", stream=True)

        for agent in agents.values():
            eventually(lambda a=agent: a.was_asked("run"), within_s=20)
        always(lambda: strain.growth < LARGEST_GROWTH, for_s=4)


LISTS: dict[str, object] = {
    "long": {"event": "commands", "commands": {"$many": [{"request_id": "x" * 100}, 30_000]}},
    "of values": {"event": "commands", "commands": {"$many": [1, 1_900_000]}},
    "of long words": {
        "event": "commands",
        "commands": [
            {"request_id": "r", "command": {"$repeat": ["x", 3 << 20]}, "status": "running"}
            | {"pid": 1, "started_at": 1.0, "returncode": None, "session": None}
            | {"stdout": 0, "stderr": 0}
        ],
    },
    "of numbers": {
        "event": "commands",
        "commands": [
            {"request_id": "r", "command": "x", "status": "running", "pid": 2**80}
            | {"started_at": 1.0, "returncode": None, "session": None, "stdout": 0, "stderr": 0}
        ],
    },
    "none": {"event": "commands", "commands": "\ud800"},
}


def test_no_list_costs_more_than_a_typed_error(gateway: GatewayProcess) -> None:
    """A list of four megabytes took half a second of everybody's time."""
    scripts = {
        name: [HELLO, {"do": "serve", "answers": {"list": answer}}]
        for name, answer in LISTS.items()
    }
    with each_in_its_sandbox(gateway, scripts) as agents, bounded_strain(gateway):
        for name, agent in agents.items():
            answer = gateway.get(f"/sandboxes/{agent.sandbox_id}/commands")

            assert (answer.status_code, answer.json()["code"]) == (502, "command_lost"), name


def test_at_the_end_of_idleness_nobody_waits_for_it(gateway: GatewayProcess) -> None:
    """Without any client: housekeeping asks what runs, and for last words. Each has its limit of
    time, which held only as long as the hub ran."""
    scripts = {
        "floods when asked": [HELLO, serve_until("running"), _frames(3, 77)],
        "says nothing": [HELLO, serve_until("last_words"), {"do": "hang"}],
        "reads nothing": [HELLO, {"do": "hang"}],
        "never greets": [{"do": "drip", "seconds": 60}],
    }
    with each_in_its_sandbox(gateway, scripts) as agents, bounded_strain(gateway):
        for agent in agents.values():
            # Not from the start: it might be over before the program is there.
            changed = gateway.patch(f"/sandboxes/{agent.sandbox_id}", json={"idle_timeout": 1})
            assert changed.status_code == 200
        for agent in agents.values():
            eventually(lambda a=agent: gateway.status_of(a.sandbox_id) == "404", within_s=60)


@pytest.mark.parametrize("operation", ["quiet", "configure"])
def test_one_that_hangs_up_is_dialled_more_and_more_slowly(
    gateway: GatewayProcess, sandbox: str, operation: str
) -> None:
    """A command was left in the background, so somebody asks until it is quiet: 200 links a second,
    each of them a greeting, a thread and two questions."""
    steps = [HELLO, serve_until(operation), CLOSE]
    with hostile_agent(gateway, sandbox, steps) as agent, bounded_strain(gateway):
        gateway.post(
            f"/sandboxes/{sandbox}/commands", json={"command": "sleep 60", "background": True}
        )
        eventually(lambda: agent.links() >= 3)

        always(lambda: agent.links() <= 24, for_s=3)


FORGED = "x\r\n2026-01-01 00:00:00,000 [1] INFO gateway: FORGED\x1b[2J\u2028FORGED"


def test_its_words_begin_no_line_of_the_log(gateway: GatewayProcess) -> None:
    """A newline in a refusal made a line that looked like the gateway's own."""
    refused = {"event": "refused", "code": "x", "detail": FORGED}
    scripts: dict[str, list[Step]] = {
        "refuses": [HELLO, {"do": "serve", "answers": {"last_words": refused, "list": refused}}],
        "is no agent": [{"do": "raw", "bytes": [[FORGED.replace("\u2028", "\n"), 1]]}, CLOSE],
        "names its event": [
            HELLO,
            {"do": "serve", "answers": {"run": {"event": FORGED}, "configure": refused}},
        ],
    }
    with each_in_its_sandbox(gateway, scripts) as agents:

        def use(agent: HostileAgent) -> int:
            path = f"/sandboxes/{agent.sandbox_id}"
            gateway.get(f"{path}/commands")
            gateway.post(f"{path}/commands", json={"command": "true"})
            return gateway.delete(path).status_code

        with ThreadPoolExecutor(len(agents)) as pool:
            assert set(pool.map(use, agents.values())) == {200}

    lines = gateway.log().splitlines()
    assert any("FORGED" in line for line in lines)
    for line in lines:
        assert not line.startswith(("FORGED", "2026-01-01 00:00:00")), line
        assert "\x1b" not in line


def test_metrics_count_what_came_and_not_what_was_claimed(gateway: GatewayProcess) -> None:
    """One end with sizes of 2^62 made a counter 9e18, for ever."""
    claims = {"event": "exit", "returncode": 0, "stdout": 2**61, "stderr": 2**61}
    windows = {"windows": [[], []]}
    scripts = {
        "waited for": [HELLO, {"do": "serve", "answers": {"run": claims | windows}}],
        "followed": [HELLO, {"do": "serve", "answers": {"run": claims}}],
    }
    before = _written(gateway)
    with each_in_its_sandbox(gateway, scripts) as agents:
        for name, agent in agents.items():
            with connect(gateway, agent.sandbox_id) as client:
                _run_to_its_end(client, stream=name == "followed")

    assert _written(gateway) - before < 10_000


def _run_to_its_end(client: Connection, **fields: Any) -> None:
    def is_told() -> bool:
        client.ask("true", **fields)
        answer = client.receive()
        while answer.get("type") == "started":
            answer = client.receive()
        return answer.get("returncode") == 0

    eventually(is_told)


def _written(gateway: GatewayProcess) -> float:
    name = "sandbox_gateway_command_output_bytes_total "
    [line] = [line for line in gateway.get("/metrics").text.splitlines() if line.startswith(name)]
    return float(line.split()[1])


def test_nothing_is_left_of_it(gateway: GatewayProcess) -> None:
    """Neither connections, processes and memory nor a watch that never ends; and its sandbox can
    be deleted while it floods."""
    scripts = {
        "floods": [HELLO, serve_until("run"), {"do": "data", "seconds": 20}],
        "hangs": [HELLO, serve_until("run"), {"do": "hang"}],
    }
    with leak_oracle(gateway), each_in_its_sandbox(gateway, scripts) as agents:
        for agent in agents.values():
            client = connect(gateway, agent.sandbox_id)
            client.ask("true", stream=True)
            eventually(lambda a=agent: a.was_asked("run"))
            assert gateway.delete(f"/sandboxes/{agent.sandbox_id}", timeout=10).ok
            client.close()
