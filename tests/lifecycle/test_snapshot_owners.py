"""Whose snapshots are whose, and how many of them: with keys, on the real engine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from gateway.identity.keys import line_of
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, NOBODYS, bearer
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of

MIB = 1024 * 1024
MOST, MOST_MB, SANDBOXES = 5, 24, 4


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(f"{line_of('alice', ALICE)}\n{line_of('bob', BOB)}\n")
    return file


@pytest.fixture(scope="module")
def shared_gateway(
    tmp_path_factory: pytest.TempPathFactory, keys: Path
) -> Iterator[GatewayProcess]:
    """For this module's tests, asked by Alice unless they say otherwise."""
    made = GatewayProcess(
        tmp_path_factory.mktemp("owners"),
        api_keys_file=str(keys),
        network="none",
        max_per_key=str(SANDBOXES),
        max_snapshots=str(MOST),
        snapshots_mb=str(MOST_MB),
    )
    made.headers = bearer(ALICE)
    try:
        yield made.start_ready()
    finally:
        made.close()


@pytest.fixture(scope="module")
def box(shared_gateway: GatewayProcess) -> str:
    """Alice's sandbox, which has written 10 MiB."""
    made = shared_gateway.create(disk_mb=64)
    written = result_of(shared_gateway, made, "head -c 10M /dev/urandom > ~/f; sync")
    assert written["returncode"] == 0
    return made


@pytest.fixture
def take(gateway: GatewayProcess) -> Iterator[Callable[..., requests.Response]]:
    """Asks for snapshots; those of Alice are removed after the test."""

    def take(sandbox_id: str, **options: Any) -> requests.Response:
        return gateway.post(f"/sandboxes/{sandbox_id}/snapshots", **options)

    yield take
    for one in gateway.get("/snapshots").json():
        assert gateway.delete(f"/snapshots/{one['snapshot_id']}").status_code == 204


def test_another_owner_finds_none(
    gateway: GatewayProcess, box: str, take: Callable[..., requests.Response]
) -> None:
    """By id and by name, whatever it is wanted for: the answer is that of one that never was. A
    name that Alice has is free for Bob."""
    hers = take(box, json={"name": "mine"}).json()
    bob = {"headers": bearer(BOB)}
    answer = gateway.post("/sandboxes", json={"disk_mb": 64}, **bob)
    his_box = answer.json()["sandbox_id"]
    try:
        for word in (hers["snapshot_id"], "mine"):
            for method, path, body in (
                ("GET", f"/snapshots/{word}", None),
                ("DELETE", f"/snapshots/{word}", None),
                ("GET", f"/snapshots?after={word}", None),
                ("POST", "/sandboxes", {"snapshot": word}),
                ("POST", f"/sandboxes/{his_box}/restore", {"snapshot": word}),
                ("GET", f"/sandboxes/{his_box}/changes?since={word}", None),
            ):
                told = problem_of(gateway.request(method, path, json=body, **bob), 404)
                assert told["code"] == "snapshot_not_found", (method, path)
        answer = gateway.get(f"/sandboxes/{box}/changes", **bob)
        assert problem_of(answer, 404)["code"] == "sandbox_not_found"
        for path in ("snapshots", "fork", "restore"):
            answer = gateway.post(f"/sandboxes/{box}/{path}", json={"snapshot": "mine"}, **bob)
            assert answer.status_code in (404, 422), answer.text
            answer = gateway.post(f"/sandboxes/{box}/{path}", json=_least(path), **bob)
            assert problem_of(answer, 404)["code"] == "sandbox_not_found"
        assert gateway.get("/snapshots", **bob).json() == []
        assert gateway.get(f"/snapshots?sandbox_id={box}", **bob).status_code in (200, 404)

        his = take(his_box, json={"name": "mine"}, **bob).json()
        assert gateway.get("/snapshots/mine", **bob).json() == his
        assert gateway.get("/snapshots/mine").json() == hers
        assert gateway.delete("/snapshots/mine", **bob).status_code == 204
        assert gateway.get("/snapshots/mine").json() == hers
    finally:
        gateway.delete(f"/sandboxes/{his_box}", **bob)


def _least(path: str) -> dict[str, object]:
    return {"fork": {"count": 1}, "restore": {"snapshot": "mine"}}.get(path, {})


def test_what_a_sandbox_token_may(
    gateway: GatewayProcess, box: str, take: Callable[..., requests.Response]
) -> None:
    """Take one of its sandbox, and go back to those of it; not see or delete any, not make other
    sandboxes, not go back to another sandbox's."""
    token = gateway.post(f"/sandboxes/{box}/token").json()["access_token"]
    with_token = {"headers": bearer(token)}
    other = gateway.create(disk_mb=64)
    others = take(other, json={"name": "others"})
    gateway.delete(f"/sandboxes/{other}")
    assert others.status_code == 201

    taken = take(box, json={"name": "own"}, **with_token)
    assert taken.status_code == 201, taken.text
    for method, path, body in (
        ("GET", "/snapshots", None),
        ("GET", f"/snapshots?sandbox_id={box}", None),
        ("GET", "/snapshots/own", None),
        ("DELETE", "/snapshots/own", None),
        ("POST", "/sandboxes", {"snapshot": "own"}),
        ("POST", f"/sandboxes/{box}/fork", {"count": 1}),
    ):
        told = problem_of(gateway.request(method, path, json=body, **with_token), 403)
        assert told["code"] == "forbidden", (method, path)
    assert gateway.get(f"/sandboxes/{box}/changes?since=own", **with_token).status_code == 200
    for word in ("others", others.json()["snapshot_id"]):
        answer = gateway.get(f"/sandboxes/{box}/changes?since={word}", **with_token)
        assert problem_of(answer, 404)["code"] == "snapshot_not_found"
        answer = gateway.post(f"/sandboxes/{box}/restore", json={"snapshot": word}, **with_token)
        assert problem_of(answer, 404)["code"] == "snapshot_not_found"
    answer = gateway.post(f"/sandboxes/{box}/restore", json={"snapshot": "own"}, **with_token)
    assert answer.status_code == 200, answer.text


def test_snapshots_stay_their_owners_when_keys_are_rotated(
    gateway: GatewayProcess, box: str, keys: Path, take: Callable[..., requests.Response]
) -> None:
    """They are the name's, and not the secret's."""
    hers = take(box, json={"name": "kept"}).json()
    before = keys.read_text()
    rotated = keys.with_name("rotated")
    rotated.write_text(before.replace(line_of("alice", ALICE), line_of("alice", NOBODYS)))
    os.replace(rotated, keys)
    try:
        eventually(lambda: _statuses(gateway, ALICE) == {401}, within_s=5)
        eventually(lambda: _statuses(gateway, NOBODYS) == {200}, within_s=5)
        assert gateway.get("/snapshots/kept", headers=bearer(NOBODYS)).json() == hers
        refused = gateway.delete("/snapshots/kept")
        assert problem_of(refused, 401)["code"] == "unauthorized"
    finally:
        rotated.write_text(before)
        os.replace(rotated, keys)
        eventually(lambda: _statuses(gateway, ALICE) == {200}, within_s=5)


def _statuses(gateway: GatewayProcess, key: str) -> set[int]:
    """Of several requests, of which each worker answers some."""
    return {gateway.get("/snapshots", headers=bearer(key)).status_code for _ in range(8)}


def test_of_too_many_forks_those_that_fit_are_made(gateway: GatewayProcess, box: str) -> None:
    """And the others are told, one by one."""
    free = SANDBOXES - len(gateway.listed())
    assert free >= 2
    answer = gateway.post(f"/sandboxes/{box}/fork", json={"count": free + 3})
    assert answer.status_code == 201, answer.text
    made = [one["sandbox_id"] for one in answer.json() if "sandbox_id" in one]
    try:
        refused = [one["error"] for one in answer.json() if "error" in one]
        assert (len(made), len(refused)) == (free, 3)
        assert {(one["status"], one["code"]) for one in refused} == {(429, "too_many_sandboxes")}
        for one in made:
            assert result_of(gateway, one, "stat -c %s ~/f")["output"] == f"{10 * MIB}\n"
        assert gateway.get("/snapshots").json() == []
    finally:
        for one in made:
            gateway.delete(f"/sandboxes/{one}")


def test_limits_hold_also_for_those_that_are_taken_at_once(
    gateway: GatewayProcess, box: str, take: Callable[..., requests.Response]
) -> None:
    """Of some ten MiB each, a third goes beyond 24 and is the last. Those that are just being made
    count as what their disk takes."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: take(box), range(8)))
    made = [one.json()["size_bytes"] for one in answers if one.ok]
    assert len(made) == 3, [one.text for one in answers]
    assert all(10 * MIB <= size < 12 * MIB for size in made)
    for one in answers:
        if not one.ok:
            assert problem_of(one, 429)["code"] == "too_many_snapshots"
    forked = gateway.post(f"/sandboxes/{box}/fork", json={"count": 1})
    assert problem_of(forked, 429)["code"] == "too_many_snapshots"


def test_the_number_is_a_limit_to_the_last(
    gateway: GatewayProcess, take: Callable[..., requests.Response]
) -> None:
    """Asked for at once by several sandboxes and workers: never one more. One that is deleted makes
    room."""
    boxes = [gateway.create(disk_mb=64) for _ in range(2)]
    try:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(take, boxes * 4))
        assert [one.status_code for one in answers].count(201) == MOST
        first = gateway.get("/snapshots").json()[0]["snapshot_id"]
        assert gateway.delete(f"/snapshots/{first}").status_code == 204
        assert take(boxes[0]).status_code == 201
        assert take(boxes[0]).status_code == 429
    finally:
        for one in boxes:
            gateway.delete(f"/sandboxes/{one}")
