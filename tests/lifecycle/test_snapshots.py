"""Snapshots, and what is made of them: from outside, on the real engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import events_of, kinds_of, shown
from tests.support.problems import problem_of
from tests.support.rest_commands import finished, in_background, result_of


@pytest.fixture
def take(gateway: GatewayProcess) -> Iterator[Callable[..., dict]]:
    """Takes snapshots, and removes them after the test."""
    taken: list[str] = []

    def take(sandbox_id: str, **wanted: object) -> dict:
        answer = gateway.post(f"/sandboxes/{sandbox_id}/snapshots", json=wanted)
        assert answer.status_code == 201, answer.text
        found = answer.json()
        taken.append(found["snapshot_id"])
        assert answer.headers["Location"] == f"/snapshots/{found['snapshot_id']}"
        return found

    yield take
    for snapshot_id in taken:
        assert gateway.delete(f"/snapshots/{snapshot_id}").status_code in (204, 404)


@pytest.fixture
def make(gateway: GatewayProcess) -> Iterator[Callable[..., str]]:
    """Creates sandboxes, and removes them after the test."""
    made: list[str] = []

    def make(**wanted: object) -> str:
        made.append(gateway.create(**wanted))
        return made[-1]

    yield make
    for sandbox_id in made:
        gateway.delete(f"/sandboxes/{sandbox_id}")


def output(gateway: GatewayProcess, sandbox_id: str, command: str) -> str:
    result = result_of(gateway, sandbox_id, command)
    assert result["returncode"] == 0, result
    return str(result["output"]).strip()


def test_a_new_sandbox_begins_with_its_files(
    gateway: GatewayProcess, sandbox: str, take: Callable[..., dict], make: Callable[..., str]
) -> None:
    """All of them, as they were at that moment, and what is written later in neither goes to the
    other."""
    output(gateway, sandbox, "echo one > ~/kept; mkdir -p ~/d; ln -s kept ~/link; chmod 600 ~/kept")
    snapshot = take(sandbox, name="first", labels={"a": "b"})
    output(gateway, sandbox, "echo two > ~/kept")

    copy = make(snapshot="first")
    look = "cat ~/kept ~/link; stat -c '%a %U' ~/kept; whoami"
    assert output(gateway, copy, look).split() == ["one", "one", "600", "user", "user"]
    output(gateway, copy, "echo three > ~/kept; touch ~/new")
    assert output(gateway, sandbox, "cat ~/kept; ls ~") == "two\nd\nkept\nlink"
    again = make(snapshot=snapshot["snapshot_id"])
    assert output(gateway, again, "cat ~/kept; ls ~") == "one\nd\nkept\nlink"

    assert snapshot["sandbox_id"] == sandbox
    assert (snapshot["name"], snapshot["labels"]) == ("first", {"a": "b"})
    assert snapshot["size_bytes"] > 0
    assert kinds_of(gateway, sandbox)[-1] == "snapshot"


def test_a_snapshot_is_shown_listed_and_deleted(
    gateway: GatewayProcess, sandbox: str, take: Callable[..., dict]
) -> None:
    """By id and by name; what is deleted is found by nobody, and its name is free again."""
    one = take(sandbox, name="one", labels={"n": "1"})
    two = take(sandbox, labels={"n": "2"})
    assert gateway.get("/snapshots/one").json() == one
    assert gateway.get(f"/snapshots/{two['snapshot_id']}").json() == two

    first = gateway.get(f"/snapshots?sandbox_id={sandbox}&limit=1")
    assert first.json() == [one]
    following = first.headers["Link"].split(">")[0].strip("<")
    assert gateway.get(following).json() == [two]
    assert gateway.get(f"/snapshots?sandbox_id={sandbox}&label=n=2").json() == [two]

    problem = problem_of(gateway.post(f"/sandboxes/{sandbox}/snapshots", json={"name": "one"}), 409)
    assert problem["code"] == "name_taken"
    assert gateway.delete("/snapshots/one").status_code == 204
    for answer in (gateway.get("/snapshots/one"), gateway.delete("/snapshots/one")):
        assert problem_of(answer, 404)["code"] == "snapshot_not_found"
    take(sandbox, name="one")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("POST", "/sandboxes", {"snapshot": "nobodys"}, 404, "snapshot_not_found"),
        ("POST", "/sandboxes/{}/restore", {"snapshot": "nobodys"}, 404, "snapshot_not_found"),
        ("POST", "/sandboxes/{}/restore", {}, 422, "invalid_fields"),
        ("POST", "/sandboxes/{}/fork", {"count": 0}, 422, "invalid_fields"),
        ("POST", "/sandboxes/{}/fork", {"count": 65}, 422, "invalid_fields"),
        ("POST", "/sandboxes/{}/fork", {"snapshot": "x"}, 422, "invalid_fields"),
        ("POST", "/sandboxes/{}/snapshots", {"name": "A"}, 422, "invalid_fields"),
        ("POST", "/sandboxes/{}/snapshots", {"name": "a" * 32}, 422, "invalid_fields"),
        ("GET", "/snapshots?after=nobodys", None, 404, "snapshot_not_found"),
        ("POST", "/sandboxes/" + "0" * 32 + "/snapshots", {}, 404, "sandbox_not_found"),
    ],
)
def test_what_cannot_be_is_refused(
    gateway: GatewayProcess,
    module_sandbox: str,
    method: str,
    path: str,
    body: object,
    status: int,
    code: str,
) -> None:
    """With the code of the contract, and nothing is left of it."""
    answer = gateway.request(method, path.format(module_sandbox), json=body)
    assert problem_of(answer, status)["code"] == code
    assert gateway.get(f"/snapshots?sandbox_id={module_sandbox}").json() == []


def test_a_snapshot_needs_a_disk_that_is_large_enough(
    gateway: GatewayProcess, make: Callable[..., str], take: Callable[..., dict]
) -> None:
    """One that is larger is grown; of another image there is none; strict sandboxes have none."""
    small = make(disk_mb=64)
    output(gateway, small, "echo x > ~/x")
    take(small, name="small")
    assert output(gateway, make(snapshot="small", disk_mb=200), "cat ~/x") == "x"
    grown = make(snapshot="small", disk_mb=300)
    assert int(output(gateway, grown, "df --output=size -m / | tail -1")) > 200
    refused = gateway.post("/sandboxes", json={"snapshot": "small", "disk_mb": 32})
    assert problem_of(refused, 422)["code"] == "snapshot_too_large"
    for wrong in ({"image": "another"}, {"isolation": "strict"}):
        refused = gateway.post("/sandboxes", json={"snapshot": "small", **wrong})
        assert problem_of(refused, 422)["code"] == "invalid_fields"
    strict = make(isolation="strict")
    refused = gateway.post(f"/sandboxes/{strict}/snapshots")
    assert problem_of(refused, 422)["code"] == "feature_missing"


def test_commands_go_on_through_a_snapshot(
    gateway: GatewayProcess, sandbox: str, take: Callable[..., dict]
) -> None:
    """Nothing of their output is lost, and nobody is told that it was paused."""
    command = in_background(
        gateway, sandbox, "for i in $(seq 30); do echo $i; sleep 0.05; done", "r"
    )
    for _ in range(3):
        take(sandbox)
    ended = eventually(lambda: finished(gateway, command), within_s=20)
    assert ended["result"]["output"].split() == [str(n) for n in range(1, 31)]
    assert kinds_of(gateway, sandbox) == ["created", "snapshot", "snapshot", "snapshot"]


def test_a_paused_sandbox_stays_paused(
    gateway: GatewayProcess, sandbox: str, take: Callable[..., dict], make: Callable[..., str]
) -> None:
    """And its files are those that it has."""
    output(gateway, sandbox, "echo x > ~/x")
    gateway.post(f"/sandboxes/{sandbox}/pause")
    snapshot = take(sandbox)
    assert shown(gateway, sandbox)["status"] == "paused"
    assert gateway.engine.inspect(sandbox)["State"]["Paused"]
    assert output(gateway, make(snapshot=snapshot["snapshot_id"]), "cat ~/x") == "x"


def test_a_restored_sandbox_has_its_files_back(
    gateway: GatewayProcess, sandbox: str, take: Callable[..., dict]
) -> None:
    """The id stays, and who is connected is told, stays connected and goes on in the old files."""
    output(gateway, sandbox, "echo old > ~/f")
    snapshot = take(sandbox)
    with connect(gateway, sandbox) as client:
        client.output_of("echo new > ~/f; touch ~/g")
        client.ask("sleep 60", request_id="running")
        eventually(lambda: "sleep" in output(gateway, sandbox, "ps -e -o comm="), within_s=5)

        answer = gateway.post(
            f"/sandboxes/{sandbox}/restore", json={"snapshot": snapshot["snapshot_id"]}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["sandbox_id"] == sandbox

        told = [client.receive(), client.receive()]
        [restored] = [one for one in told if one.get("type") == "restored"]
        assert restored == {"type": "restored", "snapshot_id": snapshot["snapshot_id"]}
        [lost] = [one for one in told if one.get("type") != "restored"]
        assert (lost["request_id"], lost.get("success")) in (("running", False), ("running", None))
        assert client.output_of("cat ~/f; ls ~") == "old\nf\n"
    assert output(gateway, sandbox, "ps -e -o comm= | grep -c '^sleep 60' || true") == "0"
    assert [one["event"] for one in events_of(gateway, sandbox)].count("restored") == 1
    assert "ended" not in kinds_of(gateway, sandbox)


def test_clients_of_every_worker_go_on_after_a_restore(
    gateway: GatewayProcess, sandbox: str, take: Callable[..., dict]
) -> None:
    """Also those of the worker that carries it out, and after each of several."""
    output(gateway, sandbox, "echo old > ~/f")
    body = {"snapshot": take(sandbox)["snapshot_id"]}
    clients = []
    for worker in gateway.workers():
        with gateway.only(worker):
            clients.append(connect(gateway, sandbox))
            assert clients[-1].output_of("cat ~/f") == "old\n"
    for worker in gateway.workers():
        clients[0].output_of("echo new > ~/f")
        with gateway.only(worker):
            answer = gateway.post(f"/sandboxes/{sandbox}/restore", json=body)
        assert answer.status_code == 200, answer.text
        for client in clients:
            assert client.receive()["type"] == "restored"
            assert client.output_of("cat ~/f") == "old\n"


def test_of_two_restores_at_once_one_is_refused(
    gateway: GatewayProcess, sandbox: str, take: Callable[..., dict]
) -> None:
    """The other is done whole."""
    output(gateway, sandbox, "echo old > ~/f")
    body = {"snapshot": take(sandbox)["snapshot_id"]}
    with ThreadPoolExecutor(3) as threads:
        answers = list(
            threads.map(
                lambda _: gateway.post(f"/sandboxes/{sandbox}/restore", json=body), range(3)
            )
        )
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 200
    assert set(statuses[1:]) <= {200, 409}
    for answer in answers:
        if answer.status_code == 409:
            assert answer.json()["code"] == "sandbox_busy"
    assert output(gateway, sandbox, "cat ~/f") == "old"


def test_forks_are_of_one_moment(gateway: GatewayProcess, sandbox: str) -> None:
    """Equal among each other to the last file, while the source goes on writing; no snapshot is
    left of it."""
    writing = (
        "i=0; while true; do i=$((i+1)); echo $i > ~/a.tmp; mv ~/a.tmp ~/a; echo $i >> ~/log; done"
    )
    in_background(gateway, sandbox, writing, "w")
    eventually(lambda: int(output(gateway, sandbox, "wc -l < ~/log")) > 100, within_s=10)

    answer = gateway.post(f"/sandboxes/{sandbox}/fork", json={"count": 3, "labels": {"f": "1"}})
    assert answer.status_code == 201, answer.text
    copies = [one["sandbox_id"] for one in answer.json()]
    try:
        digest = "find ~ -type f -printf '%p %m %T@ %s\\n' | sort; cat ~/a ~/log | sha256sum"
        digests = {output(gateway, copy, digest) for copy in copies}
        assert len(copies) == 3
        assert len(digests) == 1
        assert shown(gateway, copies[0])["labels"] == {"f": "1"}
        assert gateway.get(f"/snapshots?sandbox_id={sandbox}").json() == []
    finally:
        for copy in copies:
            gateway.delete(f"/sandboxes/{copy}")
