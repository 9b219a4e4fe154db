"""`kill -9` of gateway processes, picked at random, while clients create, run and delete."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.processor_wait import ProcessorWait
from tests.support.rounds import rounds

KILLS = rounds(usually=4, soaking=100)
CLIENTS = 3

RECOVERY_S = 5.0
"""More than the same takes before the kill, in the same traffic; without the time in which the
gateway, or who asks it, was ready to run and the machine's other work had the processor."""

PATIENCE_S = 60.0
"""How long a client tries the same request again before it counts as lost."""


@pytest.mark.timeout(3600)
def test_nothing_is_lost_whichever_process_is_killed(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """No orphan, no sandbox or command lost or doubled, no deadline forgotten, and each time the
    gateway is back within five seconds."""
    gateway = own_gateway(workers="2", pool_size="2").start_ready()
    chance = random.Random(4)
    stop = threading.Event()
    recoveries = []
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        clients = [pool.submit(_Client(gateway, stop).work) for _ in range(CLIENTS)]
        deadlines = pool.submit(_Client(gateway, stop).leave_to_their_deadlines)
        try:
            for number in range(KILLS):
                time.sleep(chance.uniform(0.5, 2.5))
                usually = _time_a_sandbox(gateway)
                killed = _kill_one(gateway, chance)
                recoveries.append(_time_a_sandbox(gateway) - usually)
                print(f"kill {number + 1}: {killed}, back after {recoveries[-1]:.2f} s", end=", ")
                print(f"without which a sandbox took {usually:.2f} s")
        finally:
            stop.set()
        done = sum(client.result(timeout=2 * PATIENCE_S) for client in clients)
        left = deadlines.result(timeout=2 * PATIENCE_S)

    print(f"{done} sandboxes lived and died, {left} were left to their deadlines")
    assert done >= KILLS / 3
    assert left >= 1
    assert max(recoveries) < RECOVERY_S
    eventually(lambda: gateway.listed() == set(gateway.engine.containers()), within_s=15)
    for sandbox_id in gateway.listed():
        gateway.delete(f"/sandboxes/{sandbox_id}")
    eventually(lambda: not gateway.engine.containers(), within_s=15)


def _kill_one(gateway: GatewayProcess, chance: random.Random) -> str:
    victims = gateway.workers()
    number = chance.randrange(len(victims) + 1)
    if number < len(victims):
        victims[number].kill()
        return "a worker"
    gateway.kill_master()
    gateway.start()
    return "the master"


def _time_a_sandbox(gateway: GatewayProcess) -> float:
    """Until a new one has run a command; without the waiting for a processor."""
    started, wait = time.monotonic(), ProcessorWait(gateway)
    client = _Client(gateway, threading.Event())
    sandbox_id = client.create()
    client.run_once(sandbox_id)
    duration = time.monotonic() - started - wait.so_far_s()
    client.delete(sandbox_id)
    return duration


class _Client:
    """Repeats each request until it is answered, as a careful client does."""

    def __init__(self, gateway: GatewayProcess, stop: threading.Event) -> None:
        self._gateway = gateway
        self._stop = stop

    def work(self) -> int:
        """Create, run, delete, until told to stop; how many came to their end."""
        count = 0
        while not self._stop.is_set():
            sandbox_id = self.create()
            for _ in range(3):
                self.run_once(sandbox_id)
            self.delete(sandbox_id)
            count += 1
        return count

    def leave_to_their_deadlines(self) -> int:
        """Create sandboxes that live for some seconds, and see that they ended for that reason."""
        left: list[tuple[str, float]] = []
        while not self._stop.is_set():
            left.append((self.create(timeout=4.0), time.monotonic() + 4.0))
            self._stop.wait(1.0)
        for sandbox_id, due in left:
            answer = self._ask("GET", f"/sandboxes/{sandbox_id}")
            while answer.status_code == 200 and time.monotonic() < due + RECOVERY_S:
                time.sleep(0.2)
                answer = self._ask("GET", f"/sandboxes/{sandbox_id}")
            assert answer.status_code == 404, answer.text
            assert answer.json()["ended"]["reason"] == "timeout", answer.text
        return len(left)

    def create(self, **options: Any) -> str:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answer = self._ask("POST", "/sandboxes", headers=key, json=options)
        assert answer.status_code == 201, answer.text
        return answer.json()["sandbox_id"]

    def run_once(self, sandbox_id: str) -> None:
        """A command that must run exactly once, whatever happens meanwhile."""
        mark = uuid.uuid4().hex
        body = {
            "command": f"echo {mark} >> marks; sleep 0.1; grep -c {mark} marks",
            "request_id": mark,
            "once": True,
        }
        answer = self._ask("POST", f"/sandboxes/{sandbox_id}/commands", json=body)
        assert answer.status_code == 200, answer.text
        assert answer.json()["output"] == "1\n", answer.text

    def delete(self, sandbox_id: str) -> None:
        answer = self._ask("DELETE", f"/sandboxes/{sandbox_id}")
        if answer.status_code == 404:  # the answer of the first try was lost
            assert answer.json()["ended"]["reason"] == "deleted", answer.text
        else:
            assert answer.status_code == 200, answer.text

    def _ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """The first answer that is no passing trouble."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                answer = self._gateway.request(method, path, timeout=10, **options)
                if answer.status_code not in (502, 503):
                    return answer
                trouble: object = answer.text
            except requests.RequestException as error:
                trouble = error
            assert time.monotonic() < deadline, f"{method} {path}: {trouble}"
            time.sleep(0.1)
