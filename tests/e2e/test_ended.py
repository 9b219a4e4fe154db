"""A sandbox goes away while clients are connected: each learns it, in whichever worker it sits."""

from __future__ import annotations

import time

import pytest

from tests.support.clients import LIBRARIES, Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess


@pytest.mark.parametrize("library", LIBRARIES)
def test_delete_ends_the_clients_of_both_workers(gateway: GatewayProcess, library: str) -> None:
    """An `ended` frame with why, then close 1001: clients can tell it from a broken network."""
    sandbox_id = gateway.create()
    clients = []
    for worker in gateway.workers():
        with gateway.only(worker):
            clients.append(connect(gateway, sandbox_id, library))

    assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200

    for client in clients:
        messages, code = client.read_to_close(within_s=5)
        assert messages == [{"type": "ended", "reason": "deleted"}]
        assert code == 1001
        client.close()


def test_delete_answers_the_commands_in_flight(gateway: GatewayProcess) -> None:
    """Each gets a typed error with its id before the `ended` frame: never a result, never
    silence."""
    sandbox_id = gateway.create()
    clients = []
    for worker in gateway.workers():
        with gateway.only(worker):
            clients.append(connect(gateway, sandbox_id))
    for client in clients:
        client.output_of("true")
        for number in range(3):
            client.ask("sleep 60", request_id=f"r{number}")
        client.output_of("true")

    gateway.delete(f"/sandboxes/{sandbox_id}")

    for client in clients:
        messages, code = client.read_to_close(within_s=10)
        assert messages[-1] == {"type": "ended", "reason": "deleted"}
        errors = messages[:-1]
        assert {error["request_id"] for error in errors} == {"r0", "r1", "r2"}
        assert {error["type"] for error in errors} == {"error"}
        assert {error["code"] for error in errors} <= {
            "command_lost",
            "container_gone",
            "agent_unavailable",
            "sandbox_not_found",
        }
        assert code == 1001


def test_delete_ends_the_whole_process_tree(gateway: GatewayProcess) -> None:
    """Killed means killed: no process of the sandbox is left on the host."""
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("for i in 1 2 3; do setsid nohup sleep 1000 >/dev/null 2>&1 & done")
        processes = gateway.engine.processes(sandbox_id)
        assert len(processes) >= 6

        gateway.delete(f"/sandboxes/{sandbox_id}")

    eventually(lambda: not any(process.is_running() for process in processes))


def test_idle_removal_frees_everything(own_gateway) -> None:
    """After the idle time: no container, 404 over REST and before the upgrade, not listed."""
    gateway = own_gateway(workers="2", idle_timeout="1").start_ready()
    sandbox_id = gateway.create()

    eventually(lambda: gateway.status_of(sandbox_id) == "404", within_s=6)

    assert gateway.listed() == set()
    eventually(lambda: not gateway.engine.containers())
    with pytest.raises(Refused) as refused:
        connect(gateway, sandbox_id)
    assert refused.value.status == 404


def test_a_connected_sandbox_is_never_idle(own_gateway) -> None:
    """A client that only listens counts; so does a command without a client. Its time begins
    anew when it is let go."""
    gateway = own_gateway(workers="2", idle_timeout="1").start_ready()
    sandbox_id = gateway.create()

    with connect(gateway, sandbox_id) as client:
        with pytest.raises(TimeoutError):
            client.receive(within_s=2.5)
        client.ask("sleep 2.5; echo done > result")
        client.output_of("true")
    closed = time.monotonic()

    eventually(lambda: gateway.status_of(sandbox_id) == "404", within_s=10)
    # The command had 2.5 s to run, and one second of idle time begins only after it.
    assert time.monotonic() - closed > 3.2
