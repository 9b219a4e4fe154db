"""What a sandbox uses, beside its limits."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of
from tests.support.rest_commands import in_background, result_of

MIB = 1024 * 1024


@pytest.fixture(scope="session")
def shared_gateway(default_gateway: GatewayProcess) -> GatewayProcess:
    """With the usual network, which counts what it carries."""
    return default_gateway


def _stats(gateway: GatewayProcess, sandbox_id: str) -> dict[str, Any]:
    answer = gateway.get(f"/sandboxes/{sandbox_id}/stats")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_limits_are_those_of_the_sandbox(gateway: GatewayProcess) -> None:
    """Of this one, not the defaults."""
    sandbox_id = gateway.create(memory_mb=100, cpus=0.5, pids=50)

    said = _stats(gateway, sandbox_id)

    assert said["memory_bytes"]["limit"] == 100 * MIB
    assert said["cpu"]["limit"] == 0.5
    assert said["pids"]["limit"] == 50
    assert said["disk_bytes"]["limit"] == 8192 * MIB
    assert 0 < said["memory_bytes"]["used"] < 100 * MIB
    assert said["pids"]["used"] >= 2
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_use_is_told_as_it_is(gateway: GatewayProcess, sandbox: str) -> None:
    """CPU that burns, memory that is held, processes that sleep, bytes on disk: each is seen, and
    is gone when it is gone."""
    before = _stats(gateway, sandbox)
    assert before["cpu"]["cores"] < 0.1
    work = (
        "for i in 1 2 3 4 5; do sleep 8 & done; head -c 30000000 /dev/zero > ~/file; "
        "exec python3 -c 'import time\nheld = bytearray(80 << 20); end = time.monotonic() + 8\n"
        "while time.monotonic() < end: pass'"
    )
    in_background(gateway, sandbox, work, "work")
    eventually(lambda: _stats(gateway, sandbox)["memory_bytes"]["used"] > 80 * MIB, within_s=6)

    during = _stats(gateway, sandbox)

    assert before["cpu"]["cores"] < during["cpu"]["cores"] <= 1.3
    assert during["cpu"]["total_s"] > before["cpu"]["total_s"] + 0.1
    assert during["pids"]["used"] >= before["pids"]["used"] + 5
    assert during["disk_bytes"]["used"] >= before["disk_bytes"]["used"] + 29_000_000
    eventually(lambda: _stats(gateway, sandbox)["memory_bytes"]["used"] < 60 * MIB, within_s=20)
    result_of(gateway, sandbox, "rm ~/file")
    assert _stats(gateway, sandbox)["disk_bytes"]["used"] < 10_000_000


def test_network_counts_and_none_is_zero(gateway: GatewayProcess, sandbox: str) -> None:
    """Packets to the bridge's own address are counted; without a network there are none."""
    before = _stats(gateway, sandbox)["network"]
    send = (
        "python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        'for _ in range(50): s.sendto(bytes(1000), ("198.51.100.1", 9))\''
    )
    result_of(gateway, sandbox, send)

    eventually(
        lambda: _stats(gateway, sandbox)["network"]["sent_bytes"] > before["sent_bytes"] + 40_000
    )
    lonely = gateway.create(network="none")
    assert _stats(gateway, lonely)["network"] == {"received_bytes": 0, "sent_bytes": 0}
    gateway.delete(f"/sandboxes/{lonely}")


def test_asking_changes_nothing(gateway: GatewayProcess) -> None:
    """It is no activity: a paused sandbox stays paused, and an idle one still goes in time."""
    sandbox_id = gateway.create(idle_timeout=3)
    asked_from = time.monotonic()
    while gateway.get(f"/sandboxes/{sandbox_id}/stats").status_code == 200:
        assert time.monotonic() - asked_from < 8
        time.sleep(0.2)
    problem = problem_of(gateway.get(f"/sandboxes/{sandbox_id}/stats"), 404)
    assert problem["ended"]["reason"] == "idle"
    paused = gateway.create()
    gateway.post(f"/sandboxes/{paused}/pause")
    assert _stats(gateway, paused)["cpu"]["cores"] < 0.05
    assert gateway.status_of(paused) == "paused"
    gateway.delete(f"/sandboxes/{paused}")


def test_many_may_ask_while_commands_run(gateway: GatewayProcess, sandbox: str) -> None:
    """Ten at once hold up nobody's commands."""
    with connect(gateway, sandbox) as client, ThreadPoolExecutor(10) as pool:
        client.output_of("true")
        asked = [pool.submit(_stats, gateway, sandbox) for _ in range(10)]
        while not all(one.done() for one in asked):
            assert client.output_of("echo quick", within_s=5) == "quick\n"
        for one in asked:
            assert one.result()["pids"]["used"] >= 1


def test_unknown_sandboxes_have_none(gateway: GatewayProcess) -> None:
    """404, before the engine is asked."""
    problem_of(gateway.get("/sandboxes/" + "0" * 32 + "/stats"), 404)
