"""Many clients on many sandboxes: no answer is lost, and none reaches somebody else."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import LIBRARIES, connect
from tests.support.gateway_process import GatewayProcess

SANDBOXES = 10
CLIENTS = 50
COMMANDS = 20


@pytest.fixture(scope="module")
def sandboxes(shared_gateway: GatewayProcess) -> Iterator[list[str]]:
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda _: shared_gateway.create(), range(SANDBOXES)))
        for sandbox_id in ids:
            with connect(shared_gateway, sandbox_id) as client:
                client.run(f"echo {sandbox_id} > name")
        yield ids
        list(pool.map(lambda i: shared_gateway.delete(f"/sandboxes/{i}"), ids))


def _expected(sandbox_id: str, client: int, number: int) -> dict:
    returncode = (client + number) % 7
    return {
        "request_id": f"{client}-{number}",
        "output": f"{sandbox_id}\nout {client} {number}\n",
        "error": f"err {client} {number}\n",
        "returncode": returncode,
        "success": returncode == 0,
    }


def _command(client: int, number: int) -> str:
    pause = random.Random(client * 1000 + number).choice(["", "", "sleep 0.05; "])
    return (
        f"{pause}cat name; echo out {client} {number}; echo err {client} {number} >&2; "
        f"exit {(client + number) % 7}"
    )


def _checked(result: dict, sandbox_id: str, client: int, number: int) -> None:
    expected = _expected(sandbox_id, client, number)
    assert {name: result.get(name) for name in expected} == expected, result
    assert result["command"] == _command(client, number)


@pytest.mark.parametrize("pipelined", [False, True], ids=["one by one", "pipelined"])
def test_fifty_clients_on_ten_sandboxes_get_their_own_answers(
    gateway: GatewayProcess, sandboxes: list[str], pipelined: bool
) -> None:
    """Each client runs 20 commands, one after the other or all at once, by both libraries, over
    both workers; each answer is held against what that very command must print."""
    start = threading.Barrier(CLIENTS, timeout=60)

    def use(client: int) -> int:
        sandbox_id = sandboxes[client % SANDBOXES]
        library = list(LIBRARIES)[client % len(LIBRARIES)]
        with connect(gateway, sandbox_id, library) as connection:
            start.wait()
            if pipelined:
                for number in range(COMMANDS):
                    connection.ask(_command(client, number), request_id=f"{client}-{number}")
                pending = set(range(COMMANDS))
                while pending:
                    result = connection.receive(within_s=60)
                    number = int(result["request_id"].split("-")[1])
                    pending.remove(number)
                    _checked(result, sandbox_id, client, number)
            else:
                for number in range(COMMANDS):
                    result = connection.run(
                        _command(client, number), within_s=60, request_id=f"{client}-{number}"
                    )
                    _checked(result, sandbox_id, client, number)
            with pytest.raises(TimeoutError):
                connection.receive(within_s=0.1)
        return COMMANDS

    with ThreadPoolExecutor(CLIENTS) as pool:
        answered = sum(pool.map(use, range(CLIENTS)))

    assert answered == CLIENTS * COMMANDS


def test_the_same_request_id_on_many_connections_is_no_conflict(
    gateway: GatewayProcess, sandboxes: list[str]
) -> None:
    """Ids are each client's own: the same one on other connections, same sandbox or not."""
    clients = [connect(gateway, sandbox_id) for sandbox_id in sandboxes[:3] * 3]

    for number, client in enumerate(clients):
        client.ask(f"sleep 0.3; cat name; echo {number}", request_id="same")
    results = [client.receive() for client in clients]

    for number, (client, result) in enumerate(zip(clients, results, strict=True)):
        assert result["request_id"] == "same"
        assert result["output"] == f"{sandboxes[number % 3]}\n{number}\n"
        client.close()


def test_the_same_id_twice_on_one_connection_is_an_error_while_it_runs(
    gateway: GatewayProcess, sandboxes: list[str]
) -> None:
    """Two answers with one id could not be told apart. Afterwards the id is free again."""
    with connect(gateway, sandboxes[0]) as client:
        client.ask("sleep 0.7; echo first", request_id="twice")
        refused = client.run("echo second", request_id="twice")
        first = client.receive()
        third = client.run("echo third", request_id="twice")

    assert (refused["type"], refused["code"]) == ("error", "request_id_in_use")
    assert refused["request_id"] == "twice"
    assert first["output"] == "first\n"
    assert third["output"] == "third\n"
