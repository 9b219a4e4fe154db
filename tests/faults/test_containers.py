"""Somebody else's hand on the containers: killed, removed, paused, stopped from outside."""

from __future__ import annotations

import pytest

from tests.support.clients import Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import leak_oracle
from tests.support.problems import problem_of


@pytest.mark.parametrize("busy", [False, True], ids=["quiet", "busy"])
def test_a_container_removed_from_outside_ends_its_clients(
    gateway: GatewayProcess, busy: bool
) -> None:
    """`docker rm -f` while connected, in both workers: in-flight commands get a typed error, then
    `ended` and 1001; afterwards 404 and not listed."""
    sandbox_id = gateway.create()
    with leak_oracle(gateway, live=gateway.listed() - {sandbox_id}):
        clients = []
        for worker in gateway.workers():
            with gateway.only(worker):
                clients.append(connect(gateway, sandbox_id))
        for client in clients:
            client.run("true")
            if busy:
                client.ask("sleep 60", request_id="in flight")
                client.run("true")

        gateway.engine.remove(sandbox_id)

        for client in clients:
            messages, code = client.read_to_close(within_s=15)
            assert messages[-1]["type"] == "ended"
            assert isinstance(messages[-1]["reason"], str)
            assert [m["request_id"] for m in messages[:-1]] == (["in flight"] if busy else [])
            assert code == 1001
        problem_of(gateway.get(f"/sandboxes/{sandbox_id}"), 404)
        problem_of(gateway.delete(f"/sandboxes/{sandbox_id}"), 404)
        assert sandbox_id not in gateway.listed()


@pytest.mark.parametrize("action", ["kill", "stop", "remove"])
def test_a_dead_container_is_404_at_once(gateway: GatewayProcess, action: str) -> None:
    """Whoever asks right after it died gets 404 and not a sandbox that cannot be used; what is
    left of the container is removed."""
    sandbox_id = gateway.create()
    container_id = gateway.engine.container_of(sandbox_id)
    if action == "kill":
        gateway.engine.api.kill(container_id)
    elif action == "stop":
        gateway.engine.api.stop(container_id, timeout=0)
    else:
        gateway.engine.remove(sandbox_id)

    assert sandbox_id not in gateway.listed()
    problem_of(gateway.get(f"/sandboxes/{sandbox_id}"), 404)
    with pytest.raises(Refused) as refused:
        connect(gateway, sandbox_id)
    assert refused.value.status == 404
    problem_of(gateway.delete(f"/sandboxes/{sandbox_id}"), 404)
    eventually(lambda: sandbox_id not in gateway.engine.containers(), within_s=15)


def test_a_killed_container_ends_its_clients_and_is_removed(gateway: GatewayProcess) -> None:
    """`docker kill`, or the kernel: nobody calls delete, and still nothing is left. Clients learn
    it soon: the engine says so at once (the event `die`)."""
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("true")
        client.ask("sleep 60", request_id="in flight")
        client.run("true")
        gateway.engine.api.kill(gateway.engine.container_of(sandbox_id))

        messages, code = client.read_to_close(within_s=4)

    assert messages[0]["request_id"] == "in flight"
    assert messages[0]["type"] == "error"
    assert messages[-1]["type"] == "ended"
    assert code == 1001
    eventually(lambda: sandbox_id not in gateway.engine.containers(), within_s=4)


def test_a_paused_container_is_shown_as_paused_and_can_be_deleted(
    gateway: GatewayProcess,
) -> None:
    """`docker pause` from outside: neither lost nor in the way."""
    sandbox_id = gateway.create()
    gateway.engine.api.pause(gateway.engine.container_of(sandbox_id))

    assert gateway.status_of(sandbox_id) == "paused"
    assert sandbox_id in gateway.listed()
    assert gateway.delete(f"/sandboxes/{sandbox_id}", timeout=15).status_code == 200
    assert sandbox_id not in gateway.engine.containers()


def test_a_command_in_a_container_that_is_paused_meanwhile_gets_its_result(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """Frozen is not dead: the result comes when it is thawed."""
    container_id = gateway.engine.container_of(sandbox)
    with connect(gateway, sandbox) as client:
        client.run("true")
        client.ask("sleep 0.5; echo thawed")
        gateway.engine.api.pause(container_id)
        with pytest.raises(TimeoutError):
            client.receive(within_s=1.5)
        gateway.engine.api.unpause(container_id)

        assert client.receive()["output"] == "thawed\n"


def test_a_renamed_container_is_still_the_sandbox(gateway: GatewayProcess, sandbox: str) -> None:
    """Containers are found by id and label; their names are for people."""
    name = gateway.engine.inspect(sandbox)["Name"].lstrip("/")
    gateway.engine.api.rename(gateway.engine.container_of(sandbox), f"{name}-renamed")

    assert gateway.status_of(sandbox) == "idle"
    with connect(gateway, sandbox) as client:
        assert client.output_of("echo here") == "here\n"


def test_the_list_holds_while_containers_vanish(gateway: GatewayProcess) -> None:
    """Containers that go away during the call must not fail it."""
    ids = [gateway.create() for _ in range(4)]
    for sandbox_id in ids:
        gateway.engine.remove(sandbox_id)
        assert gateway.get("/sandboxes").status_code == 200

    assert not set(ids) & gateway.listed()


def test_foreign_containers_are_neither_shown_nor_touched(own_gateway) -> None:
    """Another gateway on the same engine, and anything else that runs there."""
    first = own_gateway(workers="1", idle_timeout="1").start_ready()
    second = own_gateway(workers="1", idle_timeout="3600").start_ready()
    foreign = second.create()
    own = first.create()

    assert foreign not in first.listed()
    problem_of(first.delete(f"/sandboxes/{foreign}"), 404)
    eventually(lambda: first.status_of(own) == "404")
    assert second.status_of(foreign) == "idle"
    with connect(second, foreign) as client:
        assert client.output_of("echo mine") == "mine\n"


@pytest.mark.parametrize("keep", ["database", "nothing"])
def test_containers_of_an_earlier_run_are_adopted_and_then_cleaned_up(
    own_gateway, keep: str
) -> None:
    """The engine knows what exists: even with the data directory lost, the same instance finds
    its sandboxes by label, they work, and idle ones go in their time."""
    gateway = own_gateway(idle_timeout="2").start_ready()
    sandbox_id = gateway.create()
    created_at = gateway.get(f"/sandboxes/{sandbox_id}").json()["created_at"]
    with connect(gateway, sandbox_id) as client:
        client.run("echo kept > file")
        gateway.kill()
    if keep == "nothing":
        for path in sorted(gateway.data_dir.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    gateway.start_ready()
    eventually(lambda: gateway.listed() == {sandbox_id})

    assert gateway.get(f"/sandboxes/{sandbox_id}").json()["created_at"] == created_at
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("cat file") == "kept\n"
    eventually(lambda: gateway.status_of(sandbox_id) == "404")
    eventually(lambda: not gateway.engine.containers())


def test_a_running_command_of_an_earlier_run_is_found_without_the_database(own_gateway) -> None:
    """Adopted while a command runs in it: not idle before that has ended."""
    gateway = own_gateway(idle_timeout="1").start_ready()
    sandbox_id = gateway.create()
    client = connect(gateway, sandbox_id)
    client.ask("sleep 6; echo done > result; sleep 1")
    client.run("true")
    gateway.kill()
    for path in gateway.data_dir.glob("gateway.db*"):
        path.unlink()

    gateway.start_ready()
    eventually(lambda: gateway.status_of(sandbox_id) == "connected")
    with connect(gateway, sandbox_id) as client:
        eventually(lambda: client.run("cat result")["output"] == "done\n")
    eventually(lambda: not gateway.engine.containers())
