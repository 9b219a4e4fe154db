"""Room for sandboxes: never more than there may be, in fair order, and honest refusals."""

from __future__ import annotations

import signal
import socket
import sqlite3
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
import requests

from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, INLINE, bearer
from tests.support.lifecycle import MakeGateway, states
from tests.support.problems import problem_of


@pytest.fixture
def pool() -> Any:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def _ask(gateway: GatewayProcess) -> tuple[requests.Response, float]:
    answer = gateway.post("/sandboxes")
    return answer, time.monotonic()


def _exhausted(answer: requests.Response) -> bool:
    problem = problem_of(answer, 503)
    assert problem["code"] == "capacity_exhausted"
    assert int(answer.headers["Retry-After"]) > 0
    return True


def test_who_waits_is_served_in_order(own_gateway: MakeGateway, pool: ThreadPoolExecutor) -> None:
    """Full with three: the next ones wait, over both workers, and get their turns one by one as
    room is made, the longest wait first."""
    gateway = own_gateway(max="3").start_ready()
    made = [gateway.create() for _ in range(3)]
    waiting: list[Future[tuple[requests.Response, float]]] = []
    for number in range(4):
        with gateway.only(gateway.workers()[number % 2]):
            waiting.append(pool.submit(_ask, gateway))
            time.sleep(0.3)
    always(lambda: not any(one.done() for one in waiting), for_s=1)
    assert gateway.listed() == set(made)

    for number, place in enumerate(waiting):
        gateway.delete(f"/sandboxes/{made[number]}")
        answer, _ = place.result(timeout=10)
        assert answer.status_code == 201
        made.append(answer.json()["sandbox_id"])
        assert not any(one.done() for one in waiting[number + 1 :])
        assert len(gateway.listed()) == 3


def test_a_wait_in_vain_is_a_503(own_gateway: MakeGateway) -> None:
    """After the configured time, with when to come again; nothing was made."""
    gateway = own_gateway(max="1", queue_wait="2").start_ready()
    only = gateway.create()
    started = time.monotonic()

    assert _exhausted(gateway.post("/sandboxes"))

    assert 1.9 < time.monotonic() - started < 4
    assert set(gateway.engine.containers()) == gateway.listed() == {only}
    gateway.delete(f"/sandboxes/{only}")
    gateway.create()  # a ticket that was left behind would hold it up until it is in vain, too


def test_who_leaves_the_queue_gets_no_sandbox(
    own_gateway: MakeGateway, pool: ThreadPoolExecutor
) -> None:
    """A client that hung up is not served, and holds up nobody behind it."""
    gateway = own_gateway(max="1").start_ready()
    first = gateway.create()
    impatient = socket.create_connection(("127.0.0.1", gateway.port))
    impatient.sendall(b"POST /sandboxes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
    time.sleep(0.5)
    patient = pool.submit(_ask, gateway)
    time.sleep(0.5)
    impatient.close()
    time.sleep(0.5)

    gateway.delete(f"/sandboxes/{first}")

    answer, _ = patient.result(timeout=10)
    assert answer.status_code == 201
    always(lambda: gateway.listed() == {answer.json()["sandbox_id"]}, for_s=2)


def test_the_queue_is_bounded(own_gateway: MakeGateway, pool: ThreadPoolExecutor) -> None:
    """So many wait, the others are told at once; over both workers."""
    gateway = own_gateway(max="1", queue_size="3", queue_wait="4").start_ready()
    gateway.create()
    started = time.monotonic()
    calls = [pool.submit(_ask, gateway) for _ in range(12)]
    answers = [call.result(timeout=30) for call in calls]

    assert all(_exhausted(answer) for answer, _ in answers)
    quick = [at for _, at in answers if at - started < 3]
    assert len(quick) == 9
    assert all(at - started > 3.9 for _, at in answers if at not in quick)


def test_without_a_queue_the_answer_is_immediate(own_gateway: MakeGateway) -> None:
    """`SANDBOX_QUEUE_SIZE=0`: nobody waits."""
    gateway = own_gateway(max="1", queue_size="0").start_ready()
    gateway.create()
    started = time.monotonic()

    assert _exhausted(gateway.post("/sandboxes"))

    assert time.monotonic() - started < 1


@pytest.mark.parametrize("pool_size", ["0", "2"])
def test_limits_hold_over_the_workers(
    own_gateway: MakeGateway, pool: ThreadPoolExecutor, pool_size: str
) -> None:
    """Twenty at once, room for three: exactly three, however they fall upon the workers."""
    gateway = own_gateway(max="3", queue_wait="0", pool_size=pool_size).start_ready()
    for _ in range(3):
        answers = [call.result()[0] for call in [pool.submit(_ask, gateway) for _ in range(20)]]
        made = {answer.json()["sandbox_id"] for answer in answers if answer.status_code == 201}
        assert len(made) == 3
        assert all(_exhausted(answer) for answer in answers if answer.status_code != 201)
        assert gateway.listed() == made
        for sandbox_id in made:
            gateway.delete(f"/sandboxes/{sandbox_id}")


def test_a_key_may_have_so_many(own_gateway: MakeGateway, pool: ThreadPoolExecutor) -> None:
    """429, at once and not after a wait: only the client itself can make room."""
    gateway = own_gateway(max_per_key="2").start_ready()
    started = time.monotonic()
    answers = [call.result()[0] for call in [pool.submit(_ask, gateway) for _ in range(8)]]
    assert time.monotonic() - started < 20
    made = [a.json()["sandbox_id"] for a in answers if a.status_code == 201]
    assert len(made) == 2
    for answer in answers:
        if answer.status_code != 201:
            assert problem_of(answer, 429)["code"] == "too_many_sandboxes"
            assert int(answer.headers["Retry-After"]) > 0
    gateway.delete(f"/sandboxes/{made[0]}")
    gateway.create()


def test_the_hosts_memory_is_a_limit(own_gateway: MakeGateway) -> None:
    """Without a number of the operator's, all limits together stay within the overcommitment."""
    gateway = own_gateway(memory_overcommit="0.1", queue_wait="0").start_ready()
    whole_mb = gateway.engine.api.info()["MemTotal"] // (1 << 20)
    most = int(whole_mb * 0.1) // 256
    made = 0
    while made <= most:
        answer = gateway.post("/sandboxes", json={"memory_mb": 256})
        if answer.status_code != 201:
            break
        made += 1
        if made >= 6:  # enough, on a large host
            return
    assert _exhausted(answer)
    assert made == most


def test_memory_that_is_not_free_is_not_given(own_gateway: MakeGateway) -> None:
    """The host's own need counts: below the reserve nobody gets a sandbox."""
    gateway = own_gateway(memory_reserve_mb="1048576", queue_wait="0").start_ready()

    assert _exhausted(gateway.post("/sandboxes"))
    assert gateway.engine.containers() == {}


def test_a_killed_workers_tickets_block_nobody(
    own_gateway: MakeGateway, pool: ThreadPoolExecutor
) -> None:
    """They stood first in the queue; whoever waits behind them in the other worker is served
    soon after."""
    gateway = own_gateway(max="1").start_ready()
    only = gateway.create()
    victim, survivor = gateway.workers()
    with gateway.only(victim):
        lost = [pool.submit(_ask, gateway) for _ in range(3)]
        time.sleep(0.7)
    with gateway.only(survivor):
        kept = pool.submit(_ask, gateway)
        time.sleep(0.3)

    victim.kill()
    gateway.delete(f"/sandboxes/{only}")

    answer, _ = kept.result(timeout=8)
    assert answer.status_code == 201
    for call in lost:
        with pytest.raises(requests.RequestException):
            call.result(timeout=10)
    assert gateway.listed() == {answer.json()["sandbox_id"]}


def test_stop_answers_those_who_wait(own_gateway: MakeGateway, pool: ThreadPoolExecutor) -> None:
    """SIGTERM: 503 `gateway_stopping` at once, and the process ends in time."""
    gateway = own_gateway(max="1").start_ready()
    gateway.create()
    waiting = []
    for worker in gateway.workers():
        with gateway.only(worker):
            waiting.append(pool.submit(_ask, gateway))
            time.sleep(0.3)
    started = time.monotonic()

    gateway.signal(signal.SIGTERM)

    for call in waiting:
        answer, at = call.result(timeout=10)
        problem = problem_of(answer, 503)
        assert problem["code"] == "gateway_stopping"
        assert at - started < 2
    assert gateway.wait_stopped() == 0
    assert time.monotonic() - started < 8


def test_a_failed_create_makes_room_again(own_gateway: MakeGateway) -> None:
    """It must not count for ever: the next one is admitted."""
    gateway = own_gateway(max="1", queue_wait="0", image="no-such-image:ever").start()
    for _ in range(4):
        assert problem_of(gateway.post("/sandboxes"), 503)["code"] == "image_missing"
    assert {state for _, state in states(gateway)} == {"ended"}


def test_sandboxes_that_end_by_themselves_make_room(
    own_gateway: MakeGateway, pool: ThreadPoolExecutor
) -> None:
    """An idle end and a `docker rm -f` let the next ones in, as a deletion does."""
    gateway = own_gateway(max="2").start_ready()
    gateway.create(idle_timeout=1)
    removed = gateway.create()
    waiting = [pool.submit(_ask, gateway) for _ in range(2)]
    time.sleep(0.3)
    gateway.engine.remove(removed)

    for call in waiting:
        assert call.result(timeout=15)[0].status_code == 201
    eventually(lambda: len(gateway.listed()) == 2)


def test_a_tenant_who_wants_more_holds_up_nobody(
    own_gateway: MakeGateway, pool: ThreadPoolExecutor
) -> None:
    """Alice has three quarters of the host's memory and waits for another quarter; Bob's small one
    has its answer at once, and Alice's is served when one of hers ends. It used to take 29 s."""
    gateway = own_gateway(api_keys=INLINE, memory_overcommit="0.25", queue_wait="20")
    gateway.headers = bearer(ALICE)
    gateway.start_ready()
    whole_mb = gateway.engine.api.info()["MemTotal"] // (1 << 20) // 4
    large = {"memory_mb": int(whole_mb * 0.258)}
    made = [gateway.create(**large) for _ in range(3)]
    waiting = [pool.submit(gateway.post, "/sandboxes", json=large) for _ in range(2)]
    eventually(lambda: _queue_length(gateway) == 2)

    for _ in range(2):
        started = time.monotonic()
        small = gateway.post("/sandboxes", json={"memory_mb": 64}, headers=bearer(BOB))
        assert small.status_code == 201
        assert time.monotonic() - started < 6
    assert not any(one.done() for one in waiting)
    gateway.delete(f"/sandboxes/{made[0]}")

    eventually(lambda: any(one.done() for one in waiting), within_s=10)
    answers = [one.result(timeout=30) for one in waiting]
    assert sorted(answer.status_code for answer in answers) == [201, 503]


def test_one_key_leaves_room_in_host_and_queue(
    own_gateway: MakeGateway, pool: ThreadPoolExecutor
) -> None:
    """Of five sandboxes and five places in the queue Alice gets four each, over both workers; the
    others are Bob's to have at once."""
    gateway = own_gateway(api_keys=INLINE, max="5", queue_size="5", queue_wait="6")
    gateway.headers = bearer(ALICE)
    gateway.start_ready()
    for _ in range(4):
        gateway.create()
    waiting = [pool.submit(_ask, gateway) for _ in range(4)]
    eventually(lambda: _queue_length(gateway) == 4)

    refused = problem_of(gateway.post("/sandboxes"), 429)
    assert refused["code"] == "too_many_waiting"
    bobs = gateway.post("/sandboxes", headers=bearer(BOB))

    assert bobs.status_code == 201
    assert len(gateway.engine.containers()) == 5
    assert all(_exhausted(one.result(timeout=30)[0]) for one in waiting)


def _queue_length(gateway: GatewayProcess) -> int:
    with closing(sqlite3.connect(gateway.data_dir / "gateway.db")) as store:
        return store.execute("SELECT count(*) FROM tickets").fetchone()[0]
