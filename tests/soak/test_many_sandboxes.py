"""A hundred sandboxes and more at a time, again and again."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import BY_COMMAND_LINE, GatewayProcess
from tests.support.leak_oracle import leak_oracle
from tests.support.rounds import rounds

MIB = 1024 * 1024

SANDBOXES = rounds(usually=12, soaking=110)
ROUNDS = rounds(usually=2, soaking=5)
AT_A_TIME = 16

MOST_MEMORY = 200 * MIB


@pytest.mark.timeout(3600)
def test_many_sandboxes_leave_nothing_behind(own_gateway: Callable[..., GatewayProcess]) -> None:
    """Create, command, delete, side by side, in rounds: the leak oracle is clean, and the gateway
    stays small."""
    gateway = own_gateway(workers="2", memory_mb="128", queue_wait="300")
    gateway.start_ready(**BY_COMMAND_LINE)  # a fork shares memory with more than its own gateway
    # Each worker has done everything once: what they load for it is not a leak.
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _live(gateway), range(8)))

    with leak_oracle(gateway):
        for number in range(ROUNDS):
            started = time.monotonic()
            with ThreadPoolExecutor(AT_A_TIME) as pool:
                ids = list(pool.map(lambda _: gateway.create(), range(SANDBOXES)))
                assert len(gateway.listed()) == SANDBOXES
                list(pool.map(lambda one: _use(gateway, one), ids))
                memory = gateway.private_memory()
                list(pool.map(lambda one: _delete(gateway, one), ids))
            print(
                f"round {number + 1}: {SANDBOXES} sandboxes in {time.monotonic() - started:.0f} s, "
                f"gateway {memory / MIB:.0f} MiB"
            )
            assert memory < MOST_MEMORY


def _live(gateway: GatewayProcess) -> None:
    sandbox_id = gateway.create()
    _use(gateway, sandbox_id)
    _delete(gateway, sandbox_id)


def _use(gateway: GatewayProcess, sandbox_id: str) -> None:
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("echo $((6 * 7))") == "42\n"


def _delete(gateway: GatewayProcess, sandbox_id: str) -> None:
    answer = gateway.delete(f"/sandboxes/{sandbox_id}")
    assert answer.status_code == 200, json.dumps(answer.json())


RACES = rounds(usually=48, soaking=1000)
RACERS = 8


@pytest.mark.timeout(3600)
def test_cleanup_and_connect_race_at_the_deadline(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """A connect at the very moment at which the idle time is over: either it is refused and the
    sandbox goes, or it is served and the sandbox stays. Never a connection into one that goes,
    never one that stays for ever."""
    gateway = own_gateway(workers="2", pool_size="0", idle_timeout="1", warning="0").start_ready()
    chance = random.Random(7)
    counted: dict[str, int] = {"connected": 0, "refused with 404": 0}
    lock = threading.Lock()

    def race(numbers: range) -> None:
        sandbox_id = gateway.create()
        for _ in numbers:
            # The sweep comes every half second: somewhere between 1.0 and 1.6 s it takes it.
            time.sleep(chance.uniform(0.95, 1.65))
            outcome = _visit(gateway, sandbox_id)
            with lock:
                counted[outcome] += 1
            if outcome != "connected":
                eventually(lambda i=sandbox_id: i not in gateway.engine.containers())
                sandbox_id = gateway.create()

    with ThreadPoolExecutor(RACERS) as pool:
        shares = [range(first, RACES, RACERS) for first in range(RACERS)]
        list(pool.map(race, shares))

    print(counted)
    assert sum(counted.values()) == RACES
    assert min(counted.values()) > RACES / 50, counted
    eventually(lambda: not gateway.engine.containers(), within_s=15)
    assert gateway.listed() == set()


def _visit(gateway: GatewayProcess, sandbox_id: str) -> str:
    """Connect and stay for as long as a removal that has begun would take."""
    try:
        client = connect(gateway, sandbox_id)
    except Refused as refused:
        return f"refused with {refused.status}"
    with client:
        for pause_s in (0.0, 0.2, 0.3):
            time.sleep(pause_s)
            assert client.output_of("echo usable") == "usable\n"
    return "connected"
