"""A sandbox by the name that its owner has given it, wherever an id is taken."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, INLINE
from tests.support.lifecycle import MakeGateway, certificate_of, shown
from tests.support.problems import problem_of


@pytest.fixture
def name() -> str:
    """One that no other test has."""
    return f"box-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def named(gateway: GatewayProcess, name: str) -> Iterator[str]:
    """The id of a sandbox with that name."""
    sandbox_id = gateway.create(name=name)
    yield sandbox_id
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_the_name_stands_wherever_the_id_does(
    gateway: GatewayProcess, name: str, named: str
) -> None:
    """Over REST, events and the WebSocket. What is answered has the id."""
    assert shown(gateway, name) == shown(gateway, named)
    assert shown(gateway, name)["name"] == name
    [listed] = [one for one in gateway.get("/sandboxes").json() if one["name"] == name]
    assert listed["sandbox_id"] == named
    assert gateway.get("/sandboxes", params={"after": name}).status_code == 200
    assert gateway.get("/sandboxes", params={"after": "no-such"}).status_code == 422
    assert gateway.patch(f"/sandboxes/{name}", json={"labels": {"a": "b"}}).status_code == 200
    assert shown(gateway, named)["labels"] == {"a": "b"}

    ran = gateway.post(
        f"/sandboxes/{name}/commands", json={"command": "echo hi", "request_id": "a/b"}
    )
    assert ran.json()["output"] == "hi\n"
    assert gateway.get(f"/sandboxes/{name}/commands/a%2Fb").json()["returncode"] == 0
    with connect(gateway, name) as by_name, connect(gateway, named) as by_id:
        assert by_name.output_of("echo one > file") == ""
        assert by_id.output_of("cat file") == "one\n"
    told = gateway.get(f"/sandboxes/{name}/events").json()
    assert {event["sandbox_id"] for event in told} == {named}
    assert gateway.get(f"/sandboxes/{name}/stats").status_code == 200
    assert gateway.post(f"/sandboxes/{name}/pause").json()["status"] == "paused"
    assert gateway.post(f"/sandboxes/{name}/resume").json()["sandbox_id"] == named


def test_creates_answer_as_ever(gateway: GatewayProcess, name: str) -> None:
    """The exact message of the contract, and an address with the id."""
    answer = gateway.post("/sandboxes", json={"name": name})
    sandbox_id = answer.json()["sandbox_id"]
    assert answer.json() == {
        "sandbox_id": sandbox_id,
        "status": "created",
        "message": "Sandbox container created successfully",
    }
    assert answer.headers["Location"] == f"/sandboxes/{sandbox_id}"
    deleted = gateway.delete(f"/sandboxes/{name}")
    assert deleted.json() == {"message": f"Sandbox {sandbox_id} deleted successfully"}


def test_a_name_that_is_taken_is_refused(gateway: GatewayProcess, name: str, named: str) -> None:
    """With a code of its own, in the client's language, and nothing is left behind."""
    before = gateway.listed()
    problem = problem_of(gateway.post("/sandboxes", json={"name": name}), 409)
    assert problem["code"] == "name_taken"
    for language, words in (("it", "Un'altra sandbox ha già questo nome"), ("zh", "该名称已被")):
        answer = gateway.post(
            "/sandboxes", json={"name": name}, headers={"Accept-Language": language}
        )
        assert problem_of(answer, 409)["message"].startswith(words)
    assert gateway.listed() == before


def test_it_is_free_when_the_sandbox_has_ended(gateway: GatewayProcess, name: str) -> None:
    """Why it ended is told by its id; the name is somebody else's to take."""
    first = gateway.create(name=name)
    gateway.delete(f"/sandboxes/{name}")
    assert "ended" not in problem_of(gateway.get(f"/sandboxes/{name}"), 404)
    assert certificate_of(gateway, first)["reason"] == "deleted"

    second = gateway.create(name=name)
    assert shown(gateway, name)["sandbox_id"] == second != first
    gateway.delete(f"/sandboxes/{name}")


def test_of_many_creates_one_gets_it(gateway: GatewayProcess, name: str) -> None:
    """Over two workers, warm and cold."""
    wanted = [{"name": name}, {"name": name, "env": {"A": "b"}}] * 6
    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(lambda one: gateway.post("/sandboxes", json=one), wanted))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] + [409] * 11, [answer.text for answer in answers]
    [made] = [answer.json()["sandbox_id"] for answer in answers if answer.status_code == 201]
    assert shown(gateway, name)["sandbox_id"] == made
    gateway.delete(f"/sandboxes/{made}")


def test_the_idempotency_key_gives_the_same_one(gateway: GatewayProcess, name: str) -> None:
    """Get or create: the create that is sent again is not in its own way."""
    key = {"Idempotency-Key": name}
    first = gateway.post("/sandboxes", json={"name": name}, headers=key)
    again = gateway.post("/sandboxes", json={"name": name}, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    gateway.delete(f"/sandboxes/{name}")


@pytest.mark.parametrize("bad", ["", "-a", "UP", "a_b", "a" * 64, "0" * 32, 7, "a\n"])
def test_what_is_no_name_is_refused(gateway: GatewayProcess, bad: object) -> None:
    problem = problem_of(gateway.post("/sandboxes", json={"name": bad}), 422)
    assert [error["loc"] for error in problem["errors"]] == [["name"]]


def test_names_are_each_owners_own_and_outlive_everything(own_gateway: MakeGateway) -> None:
    """Two keys, one word, two sandboxes. A token says its own sandbox's name only. A restart keeps
    the names, and a lost store those that stand in labels."""
    gateway = own_gateway(api_keys=INLINE, pool_size="0")
    alice, bob = {"X-API-Key": ALICE}, {"X-API-Key": BOB}
    gateway.headers = alice
    gateway.start_ready()

    def create(who: dict[str, str], name: str) -> dict[str, str]:
        answer = gateway.post("/sandboxes", json={"name": name}, headers=who)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def id_of(who: dict[str, str], name: str) -> str | None:
        answer = gateway.get(f"/sandboxes/{name}", headers=who)
        return answer.json()["sandbox_id"] if answer.status_code == 200 else None

    web, other, bobs = create(alice, "web"), create(alice, "depot"), create(bob, "web")
    for _ in range(2):
        assert (id_of(alice, "web"), id_of(bob, "web")) == (web["sandbox_id"], bobs["sandbox_id"])
        strange = gateway.get("/sandboxes/depot", headers=bob)
        unknown = gateway.get("/sandboxes/depox", headers=bob)
        assert strange.status_code == unknown.status_code == 404
        assert strange.text.replace("depot", "depox") == unknown.text
        gateway.kill()
        gateway.start_ready()

    token = {"X-API-Key": web["access_token"]}
    assert id_of(token, "web") == web["sandbox_id"]
    refused = gateway.get("/sandboxes/depot", headers=token)
    assert other["sandbox_id"] not in refused.text
    assert refused.status_code == gateway.get("/sandboxes/depox", headers=token).status_code == 404
    issued = gateway.post("/sandboxes/web/token", headers=alice)
    assert id_of({"X-API-Key": issued.json()["access_token"]}, "web") == web["sandbox_id"]

    gateway.kill()
    for path in gateway.data_dir.glob("gateway.db*"):
        path.unlink()
    gateway.start_ready()
    eventually(lambda: id_of(alice, "web") == web["sandbox_id"])
    eventually(lambda: id_of(bob, "web") == bobs["sandbox_id"])
    for who, name in ((alice, "web"), (alice, "depot"), (bob, "web")):
        assert gateway.delete(f"/sandboxes/{name}", headers=who).status_code == 200
