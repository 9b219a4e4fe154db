"""A pool of snapshots: sandboxes made from one stand ready, for those who may have its files."""

from __future__ import annotations

import time
from collections.abc import Iterator
from statistics import median

import pytest

from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import stored_state
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of

OPERATOR, ALICE, BOB, CAROL = (f"sgk_{letter * 43}" for letter in "oabc")
"""Of a pool of one, who has had one before leaves the next to others."""

FILLED_S = 60.0


@pytest.fixture(scope="module")
def pooling(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("pooling"),
        pool_size="1",
        pool_images="snapshot:shared,snapshot:alice/mine",
        api_keys=f"op:{OPERATOR},alice:{ALICE},bob:{BOB},carol:{CAROL}",
        operators="op",
        network="none",
    )
    gateway.headers = as_(OPERATOR)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


def as_(key: str) -> dict[str, str]:
    return {"X-API-Key": key}


def create(gateway: GatewayProcess, key: str, **wanted: object) -> str:
    answer = gateway.post("/sandboxes", json=wanted, headers=as_(key))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["sandbox_id"])


def take(gateway: GatewayProcess, key: str, name: str, content: str) -> str:
    """The id of a new snapshot of this name, with a file of this content."""
    box = create(gateway, key)
    gateway.headers = as_(key)
    result_of(gateway, box, f"echo {content} > ~/f")
    answer = gateway.post(f"/sandboxes/{box}/snapshots", json={"name": name})
    assert answer.status_code == 201, answer.text
    gateway.delete(f"/sandboxes/{box}")
    gateway.headers = as_(OPERATOR)
    return str(answer.json()["snapshot_id"])


def content(gateway: GatewayProcess, key: str, sandbox_id: str) -> str:
    gateway.headers = as_(key)
    try:
        return str(result_of(gateway, sandbox_id, "cat ~/f; id -un")["output"])
    finally:
        gateway.headers = as_(OPERATOR)


def standing(gateway: GatewayProcess, count: int) -> set[str]:
    """The pool, once so many stand ready, and no others are there."""

    def there() -> set[str] | None:
        pooled = set(gateway.engine.pooled())
        ready = {one for one in pooled if stored_state(gateway, one) == "pooled"}
        return ready if len(ready) == len(pooled) == count else None

    found = eventually(lambda: [there()] if there() is not None else None, within_s=FILLED_S)[0]
    assert found is not None
    return found


def test_a_pooled_snapshot_is_for_those_who_may_have_it(pooling: GatewayProcess) -> None:
    """The operator's for everybody, by its name or id; another key's for that key alone, also when
    somebody else has one of that name. What replaces it under its name replaces the pool."""
    standing(pooling, 0)
    shared = take(pooling, OPERATOR, "shared", "of-all")
    [first] = standing(pooling, 1)
    assert create(pooling, BOB, snapshot="shared") == first
    assert content(pooling, BOB, first) == "of-all\nuser\n"
    [second] = standing(pooling, 1)
    assert create(pooling, ALICE, snapshot=shared, memory_mb=256, labels={"a": "b"}) == second
    assert content(pooling, ALICE, second) == "of-all\nuser\n"
    [unused] = standing(pooling, 1)
    # Another disk or environment needs another container.
    assert create(pooling, BOB, snapshot="shared", env={"A": "b"}) != unused
    for key in (ALICE, BOB):
        for path in (f"/snapshots/{shared}", "/snapshots/shared"):
            assert problem_of(pooling.get(path, headers=as_(key)), 404)
            assert problem_of(pooling.delete(path, headers=as_(key)), 404)
        assert pooling.get("/snapshots", headers=as_(key)).json() == []

    mine = take(pooling, ALICE, "mine", "of-alice")
    [hers] = standing(pooling, 2) - {unused}
    for word in ("mine", mine):
        answer = pooling.post("/sandboxes", json={"snapshot": word}, headers=as_(BOB))
        assert problem_of(answer, 404)["code"] == "snapshot_not_found"
        answer = pooling.post("/sandboxes", json={"snapshot": word}, headers=as_(OPERATOR))
        assert problem_of(answer, 404)["code"] == "snapshot_not_found"
    take(pooling, BOB, "mine", "of-bob")
    take(pooling, ALICE, "shared", "of-alice-too")
    for key, word, expected in (
        (BOB, "mine", "of-bob\nuser\n"),
        (ALICE, "shared", "of-alice-too\nuser\n"),
    ):
        box = create(pooling, key, snapshot=word)
        assert box not in {unused, hers}
        assert content(pooling, key, box) == expected
    assert create(pooling, ALICE, snapshot="mine") == hers
    assert content(pooling, ALICE, hers) == "of-alice\nuser\n"

    old = standing(pooling, 2)
    assert pooling.delete("/snapshots/shared").status_code == 204
    answer = pooling.post("/sandboxes", json={"snapshot": "shared"}, headers=as_(BOB))
    assert problem_of(answer, 404)["code"] == "snapshot_not_found"
    left = standing(pooling, 1)
    assert left < old
    take(pooling, OPERATOR, "shared", "anew")
    [new] = standing(pooling, 2) - left
    assert new not in old
    assert create(pooling, CAROL, snapshot="shared") == new
    assert content(pooling, CAROL, new) == "anew\nuser\n"


def test_it_comes_in_the_time_of_a_warm_create(pooling: GatewayProcess) -> None:
    """With its agent running: no container is made while the client waits."""
    times = []
    for _ in range(3):
        pooled = standing(pooling, 2)
        begun = time.monotonic()
        box = create(pooling, ALICE, snapshot="mine")
        times.append(time.monotonic() - begun)
        assert box in pooled
        pooling.delete(f"/sandboxes/{box}", headers=as_(ALICE))
    print(f"a create from the pool of a snapshot: {median(times) * 1000:.0f} ms")
    assert median(times) < 0.15  # cold it takes three times that on an idle machine


def test_a_killed_gateway_keeps_the_pool(pooling: GatewayProcess) -> None:
    """And what was drained stays drained."""
    pooled = standing(pooling, 2)
    pooling.kill()
    pooling.start_ready()
    always(lambda: set(pooling.engine.pooled()) == pooled, for_s=2)
    assert pooling.delete("/snapshots/shared").status_code == 204
    assert len(standing(pooling, 1)) == 1
