"""Commands over REST that outlive their request: in the background, or because somebody left."""

from __future__ import annotations

import http.client
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of
from tests.support.rest_commands import finished, in_background, result_of, run

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def shared_gateway(offline_gateway: GatewayProcess) -> GatewayProcess:
    """Nothing here is about a network."""
    return offline_gateway


def test_a_command_in_the_background(gateway: GatewayProcess, sandbox: str) -> None:
    """From its start to its result, on whichever worker; the sandbox is in use meanwhile."""
    address = in_background(gateway, sandbox, "sleep 1.5; echo done; exit 4", "bg")
    assert address == f"/sandboxes/{sandbox}/commands/bg"

    for _ in range(4):
        shown = gateway.get(address).json()
        assert (shown["status"], shown["result"], shown["returncode"]) == ("running", None, None)
        assert isinstance(shown["pid"], int)
        assert gateway.status_of(sandbox) == "connected"

    shown = eventually(lambda: finished(gateway, address))
    assert shown["returncode"] == shown["result"]["returncode"] == 4
    assert shown["result"]["output"] == "done\n"
    assert "type" not in shown["result"]
    eventually(lambda: gateway.status_of(sandbox) == "idle", within_s=5)
    assert gateway.get(address).json()["result"]["output"] == "done\n"


def test_once_runs_once(gateway: GatewayProcess, sandbox: str) -> None:
    """However often and on however many workers it is asked for, at the same time or later."""

    def ask(_: int) -> dict[str, Any]:
        return result_of(
            gateway, sandbox, "echo x >> runs; sleep 0.5; cat runs", request_id="key", once=True
        )

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(ask, range(8)))
    results.append(ask(0))
    later = run(gateway, sandbox, "echo x >> runs", request_id="key", once=True, background=True)

    assert {result["output"] for result in results} == {"x\n"}
    assert later.json()["status"] == "finished"
    assert result_of(gateway, sandbox, "cat runs")["output"] == "x\n"


def test_a_client_that_leaves_ends_no_command(gateway: GatewayProcess, sandbox: str) -> None:
    """It goes on, and the sandbox is in use until it has ended."""
    body = json.dumps({"command": "sleep 2; touch done", "request_id": "left"})
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=30)
    connection.request(
        "POST",
        f"/sandboxes/{sandbox}/commands",
        body,
        {"Content-Type": "application/json", "Host": "localhost"},
    )
    eventually(lambda: gateway.get(f"/sandboxes/{sandbox}/commands").json())
    assert connection.sock is not None
    connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()

    always(lambda: gateway.status_of(sandbox) == "connected", for_s=1)
    eventually(lambda: finished(gateway, f"/sandboxes/{sandbox}/commands/left"))
    assert result_of(gateway, sandbox, "ls done")["output"] == "done\n"
    eventually(lambda: gateway.status_of(sandbox) == "idle")


def test_many_in_the_background_leave_one_lease(gateway: GatewayProcess, sandbox: str) -> None:
    """And nothing at all when the last one has ended."""
    server = in_background(gateway, sandbox, "sleep 1000", "server")
    for number in range(30):
        in_background(gateway, sandbox, "true", f"b{number}")

    assert gateway.status_of(sandbox) == "connected"
    gateway.post(server + "/signal", json={"signal": "TERM"})
    eventually(lambda: gateway.status_of(sandbox) == "idle", within_s=5)


def test_deleting_the_sandbox_answers_who_waits(gateway: GatewayProcess) -> None:
    """At once, and not with a promise that a later try may succeed."""
    sandbox_id = gateway.create()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(run, gateway, sandbox_id, "sleep 1000") for _ in range(4)]
        eventually(lambda: len(gateway.get(f"/sandboxes/{sandbox_id}/commands").json()) == 4)
        started = time.monotonic()
        gateway.delete(f"/sandboxes/{sandbox_id}")
        answers = [one.result(timeout=30) for one in asked]
        assert time.monotonic() - started < 10

    for answer in answers:
        assert problem_of(answer, 404)["code"] == "sandbox_not_found"
        assert "Retry-After" not in answer.headers


def test_a_gateway_that_stops_answers_who_waits(own_gateway: Any) -> None:
    """With 503, at once; the commands go on, and the next gateway knows that they do."""
    gateway = own_gateway().start_ready()
    sandbox_id = gateway.create()
    with ThreadPoolExecutor(2) as pool:
        waiting = pool.submit(run, gateway, sandbox_id, "sleep 20; echo survived", request_id="w")
        address = f"/sandboxes/{sandbox_id}/commands/w"
        eventually(lambda: gateway.get(address).status_code == 200)
        polling = pool.submit(gateway.get, address + "/output?wait=60")
        time.sleep(0.3)
        started = time.monotonic()
        gateway.signal(15)
        for answer in (waiting.result(timeout=20), polling.result(timeout=20)):
            assert problem_of(answer, 503)["code"] == "gateway_stopping"
        gateway.wait_stopped()
        assert time.monotonic() - started < 6

    gateway.start_ready()
    assert gateway.get(address).json()["status"] == "running"
    eventually(lambda: gateway.status_of(sandbox_id) == "connected", within_s=4)
    shown = eventually(lambda: finished(gateway, address), within_s=30)
    assert shown["result"]["output"] == "survived\n"
    eventually(lambda: gateway.status_of(sandbox_id) == "idle")


def test_a_command_survives_a_killed_gateway(own_gateway: Any) -> None:
    """What was written before and after is there, from any offset."""
    gateway = own_gateway().start_ready()
    sandbox_id = gateway.create()
    address = in_background(
        gateway, sandbox_id, "for i in $(seq 1 30); do echo $i; sleep 0.1; done", "k"
    )
    first = gateway.get(address + "/output?wait=10")
    assert first.content

    gateway.kill()
    gateway.start_ready()

    read, offset, complete = first.content, first.headers["X-Output-Next"], "false"
    while complete == "false":
        answer = gateway.get(f"{address}/output?offset={offset}&wait=20")
        assert answer.headers["X-Output-Offset"] == offset
        read += answer.content
        offset, complete = answer.headers["X-Output-Next"], answer.headers["X-Output-Complete"]
    assert read.decode().split() == [str(number) for number in range(1, 31)]


def test_a_command_is_known_as_long_as_it_runs(gateway: GatewayProcess, sandbox: str) -> None:
    """However many others have been run since: a server that was started first is still there."""
    address = in_background(gateway, sandbox, "sleep 1000", "server")
    with requests.Session() as session:
        for _ in range(210):
            session.post(
                f"{gateway.url}/sandboxes/{sandbox}/commands", json={"command": "true"}, timeout=30
            )

    assert gateway.get(address).json()["status"] == "running"
    listed = gateway.get(f"/sandboxes/{sandbox}/commands").json()
    assert [c["request_id"] for c in listed if c["status"] == "running"] == ["server"]
    gateway.post(address + "/signal", json={"signal": "KILL"})
