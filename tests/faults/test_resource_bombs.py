"""What a user can do to the own sandbox: only that sandbox suffers, and it can be deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import leak_oracle

TYPED = {"command_lost", "agent_unavailable", "container_gone", "sandbox_not_found", "link_lost"}


@pytest.fixture(scope="module")
def bomb_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway whose sandboxes are small, so that bombs go off soon."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("bombs"),
        network="none",
        memory_mb="128",
        pids="64",
        cpus="1",
        file_size_mb="16",
    )
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def other(bomb_gateway: GatewayProcess) -> str:
    """The id of a sandbox of somebody else."""
    return bomb_gateway.create()


def _delete_quickly(gateway: GatewayProcess, sandbox_id: str) -> None:
    started = time.monotonic()
    assert gateway.delete(f"/sandboxes/{sandbox_id}", timeout=20).status_code in (200, 404)
    assert time.monotonic() - started < 10
    eventually(lambda: sandbox_id not in gateway.engine.containers())


def _answered(answer: dict) -> None:
    """A result, or an error of a known kind: never silence, never a success that was none."""
    assert answer.get("code") in TYPED or isinstance(answer.get("returncode"), int), answer


def test_a_fork_bomb_stays_in_its_sandbox(bomb_gateway: GatewayProcess, other: str) -> None:
    """The limit of processes holds; others are served, and delete works at once."""
    gateway = bomb_gateway
    with leak_oracle(gateway, live={other}):
        sandbox_id = gateway.create()
        with connect(gateway, sandbox_id) as victim, connect(gateway, other) as neighbour:
            victim.run("true")
            victim.ask("bomb() { bomb | bomb & }; bomb; sleep 30", request_id="bomb")
            victim.ask("echo next", request_id="next")

            for number in range(20):
                assert neighbour.run(f"echo {number}", within_s=10)["output"] == f"{number}\n"
            assert len(gateway.engine.processes(sandbox_id)) <= 64

            _delete_quickly(gateway, sandbox_id)
            messages, code = victim.read_to_close()
            for message in messages[:-1]:
                _answered(message)
            assert {message.get("request_id") for message in messages[:-1]} == {"bomb", "next"}
            assert messages[-1]["type"] == "ended"
            assert code == 1001


def test_commands_beyond_the_process_limit_get_an_answer(bomb_gateway: GatewayProcess) -> None:
    """No process left to run it: a typed answer each, and when processes end it works again."""
    gateway = bomb_gateway
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("true")
        for number in range(100):
            client.ask("sleep 3", request_id=str(number))
        answers = {
            answer["request_id"]: answer for answer in (client.receive() for _ in range(100))
        }

        assert len(answers) == 100
        for answer in answers.values():
            _answered(answer)
            if answer.get("returncode") not in (0, None):
                assert answer["error"], answer
        assert any(answer.get("returncode") == 0 for answer in answers.values())
        eventually(lambda: client.run("echo again").get("output") == "again\n", within_s=15)
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_a_memory_bomb_kills_the_command_and_not_the_agent(
    bomb_gateway: GatewayProcess, other: str
) -> None:
    """Commands are the preferred victims of the kernel: 137, and the next command works."""
    gateway = bomb_gateway
    with leak_oracle(gateway, live={other}):
        sandbox_id = gateway.create()
        with connect(gateway, sandbox_id) as victim, connect(gateway, other) as neighbour:
            victim.run("echo kept > file")
            for _ in range(3):
                victim.ask("exec python3 -c 'x = bytearray(1 << 30)'", request_id="bomb")
                assert neighbour.run("echo fine", within_s=10)["output"] == "fine\n"
                answer = victim.receive(within_s=60)
                assert answer.get("returncode") != 0, answer
                _answered(answer)
            assert victim.run("cat file")["output"] == "kept\n"
        _delete_quickly(gateway, sandbox_id)


def test_a_file_bomb_is_stopped_by_the_limit_of_file_sizes(bomb_gateway: GatewayProcess) -> None:
    """One file of any size would fill the host's disk."""
    gateway = bomb_gateway
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        result = client.run("head -c 100000000 /dev/zero > big; stat -c %s big")
        assert int(result["output"]) == 16 * 1024 * 1024
        assert client.output_of("rm big; echo fine") == "fine\n"
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_endless_output_with_nobody_reading_stays_bounded(bomb_gateway: GatewayProcess) -> None:
    """`yes` goes on after its client has left: neither the gateway nor the sandbox's agent grows,
    and the command can still be ended with its sandbox."""
    gateway = bomb_gateway
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("true")
        client.ask("yes & yes >&2")
        client.ask("yes abcdefgh")
        client.run("true")
    before = gateway.memory()
    [agent] = gateway.engine.agents(sandbox_id)
    with connect(gateway, sandbox_id) as client:
        for _ in range(20):
            assert client.run("sleep 0.1; echo quick", within_s=10)["output"] == "quick\n"

    assert agent.memory_info().rss < 100 * 1024 * 1024
    assert gateway.memory() - before < 48 * 1024 * 1024
    _delete_quickly(gateway, sandbox_id)


def test_cpu_burners_in_one_sandbox_leave_time_for_others(
    bomb_gateway: GatewayProcess, other: str
) -> None:
    """More burners than the machine has cores; the sandbox's share is one core."""
    gateway = bomb_gateway
    burning = gateway.create()
    with connect(gateway, burning) as victim, connect(gateway, other) as neighbour:
        victim.ask("for i in 1 2 3 4 5 6; do (while :; do :; done) & done; wait")
        for number in range(10):
            assert neighbour.run(f"echo {number}", within_s=10)["output"] == f"{number}\n"
        assert victim.run("echo still", within_s=20)["output"] == "still\n"
    _delete_quickly(gateway, burning)


def test_a_tree_that_ignores_term_is_deleted_quickly(bomb_gateway: GatewayProcess) -> None:
    """Delete kills; it does not ask."""
    gateway = bomb_gateway
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.ask("trap '' TERM INT HUP; (trap '' TERM; sleep 1000) & sleep 1000")
        client.run("true")
        _delete_quickly(gateway, sandbox_id)


def test_thousands_of_short_processes_leave_no_zombies(bomb_gateway: GatewayProcess) -> None:
    """Zombies count against the limit of processes: unreaped, the sandbox would be dead soon."""
    gateway = bomb_gateway
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("for i in $(seq 2000); do (true &); done", within_s=60)
        assert client.run("for i in $(seq 40); do sleep 0.1 & done; wait; echo room")[
            "output"
        ].endswith("room\n")
    gateway.delete(f"/sandboxes/{sandbox_id}")
