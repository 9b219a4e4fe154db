"""A create that is sent again makes no second sandbox, whatever happens in between."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support.clients import connect
from tests.support.engine_proxy import EngineProxy
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import leak_oracle
from tests.support.lifecycle import MakeGateway, states
from tests.support.problems import problem_of


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[EngineProxy]:
    with EngineProxy(tmp_path / "engine.sock") as proxy:
        proxy.open()
        yield proxy


def _create(gateway: GatewayProcess, key: str, **wanted: object) -> requests.Response:
    headers = {"Idempotency-Key": key}
    if not wanted:
        return gateway.post("/sandboxes", headers=headers)
    return gateway.post("/sandboxes", headers=headers, json=wanted)


def _id_of(answer: requests.Response) -> str:
    assert answer.status_code == 201, answer.text
    return answer.json()["sandbox_id"]


def test_the_same_key_is_the_same_sandbox(gateway: GatewayProcess) -> None:
    """The answer is that of the first, and says that it is: no client need guess."""
    first = _create(gateway, "one")
    sandbox_id = _id_of(first)
    assert "Idempotent-Replayed" not in first.headers

    for _ in range(4):
        again = _create(gateway, "one")
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json() == first.json()
        assert again.headers["Location"] == first.headers["Location"]

    other = _id_of(_create(gateway, "another"))
    assert other != sandbox_id
    for made in (sandbox_id, other):
        gateway.delete(f"/sandboxes/{made}")


@pytest.mark.parametrize("pool_size", ["0", "2"])
def test_eight_at_once_make_one(own_gateway: MakeGateway, pool_size: str) -> None:
    """Over both workers, cold and warm: one sandbox, one fresh answer, seven replays."""
    gateway = own_gateway(pool_size=pool_size).start_ready()
    if pool_size != "0":
        eventually(lambda: len(gateway.engine.pooled()) == 2, within_s=20)
    for round_number in range(4):
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda key: _create(gateway, key), [f"k{round_number}"] * 8))

        [sandbox_id] = {_id_of(answer) for answer in answers}
        assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
        # A taken one is renamed a moment after.
        eventually(lambda: gateway.listed() == set(gateway.engine.containers()))
        assert sandbox_id in gateway.listed()
        with connect(gateway, sandbox_id) as client:
            assert client.output_of("echo one") == "one\n"
    assert len(gateway.listed()) == 4


def test_another_body_under_the_same_key_is_refused(gateway: GatewayProcess) -> None:
    """422 and not somebody else's sandbox: the client has mixed up its keys. The same values
    written in another way are the same request."""
    sandbox_id = _id_of(_create(gateway, "body", labels={"a": "1"}, pids=100))

    problem = problem_of(_create(gateway, "body", labels={"a": "2"}, pids=100), 422)
    assert problem["code"] == "idempotency_key_reused"
    problem_of(_create(gateway, "body"), 422)
    assert _id_of(_create(gateway, "body", pids=100, labels={"a": "1"})) == sandbox_id

    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_the_key_of_an_ended_sandbox_is_spent(gateway: GatewayProcess) -> None:
    """A retry that comes after the end must neither get a dead sandbox nor a second one."""
    sandbox_id = _id_of(_create(gateway, "spent"))
    before = gateway.listed()
    gateway.delete(f"/sandboxes/{sandbox_id}")

    problem = problem_of(_create(gateway, "spent"), 409)

    assert problem["code"] == "idempotency_key_spent"
    assert gateway.listed() == before - {sandbox_id}


@pytest.mark.parametrize("key", ["", "a" * 256, "caf\u00e9"])
def test_what_cannot_be_a_key_is_refused(gateway: GatewayProcess, key: str) -> None:
    """400; without the check two clients' broken keys would be one."""
    before = gateway.listed()
    answer = gateway.post("/sandboxes", headers={"Idempotency-Key": key.encode()})
    problem_of(answer, 400)
    assert gateway.listed() == before


def test_a_failed_create_does_not_spend_its_key(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """The retry, which is what keys are for, makes the sandbox."""
    gateway = own_gateway().start(DOCKER_HOST=proxy.url)
    proxy.fail("POST /v[0-9.]+/containers/create")
    problem_of(_create(gateway, "retry"), 503)
    problem_of(_create(gateway, "retry"), 503)

    proxy.heal()

    answer = _create(gateway, "retry")
    assert "Idempotent-Replayed" not in answer.headers
    assert gateway.listed() == {_id_of(answer)}
    assert _id_of(_create(gateway, "retry")) == _id_of(answer)


def test_a_refused_body_does_not_spend_its_key(gateway: GatewayProcess) -> None:
    """Nothing was made, so nothing is remembered."""
    problem_of(_create(gateway, "refused", memory_mb=1), 422)

    sandbox_id = _id_of(_create(gateway, "refused"))

    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_a_worker_killed_in_the_middle_makes_no_second_one(own_gateway: MakeGateway) -> None:
    """Ten times at a random moment: the retry with the key ends in exactly one sandbox."""
    gateway = own_gateway().start_ready()
    chance = random.Random(4)
    expected: set[str] = set()
    with ThreadPoolExecutor(1) as pool:
        for round_number in range(10):
            eventually(lambda: len(gateway.workers()) == 2)
            victim = gateway.workers()[0]
            with gateway.only(victim):
                first = pool.submit(_create, gateway, f"k{round_number}")
                time.sleep(chance.uniform(0.0, 0.5))
                victim.kill()
            failure = first.exception(timeout=30)
            assert failure is None or isinstance(failure, requests.RequestException)

            retried = _id_of(eventually(lambda n=round_number: _create(gateway, f"k{n}")))

            if failure is None:
                assert _id_of(first.result()) == retried
            expected.add(retried)
            assert gateway.listed() == expected
    eventually(lambda: set(gateway.engine.containers()) == expected)
    for sandbox_id in expected:
        with connect(gateway, sandbox_id) as client:
            assert client.output_of("echo alive") == "alive\n"
    eventually(lambda: {state for _, state in states(gateway)} <= {"ready", "ended"})


def test_a_gateway_killed_in_the_middle_makes_no_second_one(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """`kill -9` of all of it while the engine works on the create, which it finishes afterwards:
    the retry undoes that one, and makes the only one."""
    # One worker, which has asked about the engine's host before it hangs.
    gateway = own_gateway(workers="1").start(DOCKER_HOST=proxy.url)
    gateway.delete(f"/sandboxes/{gateway.create()}")
    proxy.hang()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(_create, gateway, "killed")
        eventually(lambda: "starting" in {state for _, state in states(gateway)})
        gateway.kill()
        assert isinstance(first.exception(timeout=30), requests.RequestException)
    proxy.answer()
    gateway.start(DOCKER_HOST=proxy.url)

    sandbox_id = _id_of(_create(gateway, "killed"))

    assert gateway.listed() == {sandbox_id}
    eventually(lambda: set(gateway.engine.containers()) == {sandbox_id})
    assert _id_of(_create(gateway, "killed")) == sandbox_id


def test_retries_leave_nothing_behind(gateway: GatewayProcess) -> None:
    """Thirty creates by ten keys at once: ten sandboxes, and nothing of the others."""
    with leak_oracle(gateway):
        keys = [f"leak-{number % 10}" for number in range(30)]
        with ThreadPoolExecutor(6) as pool:
            made = {_id_of(answer) for answer in pool.map(lambda k: _create(gateway, k), keys)}
        assert len(made) == 10
        for sandbox_id in made:
            assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
