"""When a sandbox ends by itself, or is paused: by its age, by idleness, and never by mistake."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.clients import connect
from tests.support.events import EventStream
from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.lifecycle import certificate_of, events_of, kinds_of, shown
from tests.support.problems import problem_of
from tests.support.rest_commands import in_background

SLACK_S = 8.0
"""So late may an end come on a machine with too much to do; never may it come early."""


Told = tuple[float, list[dict[str, Any]]]
"""When a sandbox was created, and its events."""


@pytest.fixture(scope="module", autouse=True)
def lives(shared_gateway: GatewayProcess) -> Iterator[dict[str, Future[Told]]]:
    """What is told of three sandboxes that live for ten seconds, which pass while the other tests
    here wait for something else. By why they end; one is extended when that is announced."""
    gateway = shared_gateway
    sandboxes = {
        "timeout": gateway.create(timeout=10),
        "idle": gateway.create(idle_timeout=10),
        "extended": gateway.create(timeout=10),
    }

    def follow(name: str) -> Told:
        told: list[dict[str, Any]] = []
        created_at = shown(gateway, sandboxes[name])["created_at"]
        with EventStream(gateway, "GET", f"/sandboxes/{sandboxes[name]}/events") as stream:
            for event in stream:
                told.append(event.message)
                if name == "extended" and [one["event"] for one in told] == ["created", "ending"]:
                    _patched(gateway, sandboxes[name], timeout=14)
        return created_at, told

    with ThreadPoolExecutor(3) as pool:
        yield {name: pool.submit(follow, name) for name in sandboxes}


def test_a_lifetime_may_end_in_a_pause(shared_gateway: GatewayProcess) -> None:
    """It has no end then; when it is resumed its lifetime begins anew, and it can still be
    deleted by hand."""
    sandbox_id = shared_gateway.create(timeout=2, timeout_action="pause")
    path = f"/sandboxes/{sandbox_id}"
    eventually(lambda: shared_gateway.status_of(sandbox_id) == "paused", within_s=2 + SLACK_S)
    paused = shown(shared_gateway, sandbox_id)
    shared_gateway.patch(path, json={"timeout": 3000})
    shared_gateway.post(f"{path}/pause")
    resumed = shared_gateway.post(f"{path}/resume").json()
    told = [one for one in events_of(shared_gateway, sandbox_id) if one["event"] == "paused"]
    shared_gateway.delete(path)

    assert (paused["expires_at"], paused["timeout_action"]) == (None, "pause")
    assert told[0]["by"] == "timeout"
    assert resumed["status"] == "idle"
    assert resumed["expires_at"] > time.time() + 2000


def _age_at_end(gateway: GatewayProcess, sandbox_id: str, created_at: float) -> float:
    return certificate_of(gateway, sandbox_id, within_s=20)["at"] - created_at


def _patched(gateway: GatewayProcess, sandbox_id: str, **change: Any) -> dict[str, Any]:
    answer = gateway.patch(f"/sandboxes/{sandbox_id}", json=change)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_lifetime_ends_whatever_happens_inside(gateway: GatewayProcess) -> None:
    """A client is connected and its command runs: both learn why it is over."""
    sandbox_id = gateway.create(timeout=4)
    created_at = shown(gateway, sandbox_id)["created_at"]
    with connect(gateway, sandbox_id) as client:
        client.output_of("true")
        client.ask("sleep 60", request_id="running")

        messages, code = client.read_to_close(within_s=10)

    assert messages[0]["request_id"] == "running"
    assert messages[0]["type"] == "error"
    assert messages[-1] == {"type": "ended", "reason": "timeout"}
    assert code == 1001
    certificate = certificate_of(gateway, sandbox_id)
    assert certificate["reason"] == "timeout"
    assert "4 s" in certificate["detail"]
    assert 4 <= certificate["at"] - created_at < 4 + SLACK_S
    eventually(lambda: sandbox_id not in gateway.engine.containers())


def test_an_idle_sandbox_goes_in_its_own_time(gateway: GatewayProcess) -> None:
    """Each by what it was created with, whatever the others have."""
    slow, quick = gateway.create(idle_timeout=60), gateway.create(idle_timeout=1)
    created_at = events_of(gateway, quick)[0]["at"]

    assert 1 <= _age_at_end(gateway, quick, created_at) < 1 + SLACK_S

    assert certificate_of(gateway, quick)["reason"] == "idle"
    assert gateway.status_of(slow) == "idle"
    gateway.delete(f"/sandboxes/{slow}")


def test_an_idle_sandbox_is_paused_where_that_was_asked_for(gateway: GatewayProcess) -> None:
    """Frozen and kept, for as long as nobody comes; whoever comes finds it as it was."""
    sandbox_id = gateway.create(idle_timeout=1, idle_action="pause")
    with connect(gateway, sandbox_id) as client:
        client.output_of("echo kept > file")

    eventually(lambda: gateway.status_of(sandbox_id) == "paused")
    assert gateway.engine.inspect(sandbox_id)["State"]["Paused"]
    always(lambda: gateway.status_of(sandbox_id) == "paused", for_s=2.5)
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("cat file") == "kept\n"
        assert gateway.status_of(sandbox_id) == "connected"
    eventually(lambda: gateway.status_of(sandbox_id) == "paused")

    def pausers() -> list[str]:
        return [e["by"] for e in events_of(gateway, sandbox_id) if e["event"] == "paused"]

    eventually(lambda: len(pausers()) == 2)
    assert pausers() == ["idle", "idle"]
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_a_lifetime_ends_a_paused_sandbox_too(gateway: GatewayProcess) -> None:
    """Paused for idleness, it is not kept beyond its absolute end."""
    sandbox_id = gateway.create(idle_timeout=1, idle_action="pause", timeout=4)
    eventually(lambda: gateway.status_of(sandbox_id) == "paused")

    assert certificate_of(gateway, sandbox_id)["reason"] == "timeout"
    eventually(lambda: sandbox_id not in gateway.engine.containers())


@pytest.mark.parametrize("action", ["delete", "pause"])
def test_a_command_in_the_background_is_activity(gateway: GatewayProcess, action: str) -> None:
    """Idle begins when the last command has ended, not when the last client has gone."""
    sandbox_id = gateway.create(idle_timeout=1, idle_action=action)
    started = time.monotonic()
    in_background(gateway, sandbox_id, "sleep 4", "r")

    always(lambda: gateway.status_of(sandbox_id) == "connected", for_s=3)
    wanted = {"delete": "404", "pause": "paused"}[action]
    eventually(lambda: gateway.status_of(sandbox_id) == wanted, within_s=10)

    assert time.monotonic() - started > 5
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_idle_time_can_be_changed(gateway: GatewayProcess) -> None:
    """Longer: it outlives its first deadline; shorter: it goes at once if it was idle so long."""
    sandbox_id = gateway.create(idle_timeout=3)
    assert _patched(gateway, sandbox_id, idle_timeout=100)["idle_timeout"] == 100
    always(lambda: gateway.status_of(sandbox_id) == "idle", for_s=4)

    _patched(gateway, sandbox_id, idle_timeout=1)

    eventually(lambda: gateway.status_of(sandbox_id) == "404", within_s=SLACK_S)
    assert kinds_of(gateway, sandbox_id).count("updated") == 2


def test_lifetime_can_be_changed_and_lifted(gateway: GatewayProcess) -> None:
    """Counted from the creation; null is without end, and what would be over already is refused."""
    sandbox_id = gateway.create(timeout=4)
    created_at = shown(gateway, sandbox_id)["created_at"]
    said = _patched(gateway, sandbox_id, timeout=200)
    assert said["timeout"] == 200
    assert said["expires_at"] == pytest.approx(created_at + 200, abs=0.5)
    always(lambda: gateway.status_of(sandbox_id) == "idle", for_s=5)

    said = _patched(gateway, sandbox_id, timeout=None)
    assert (said["timeout"], said["expires_at"]) == (None, None)
    problem = problem_of(gateway.patch(f"/sandboxes/{sandbox_id}", json={"timeout": 1}), 422)
    assert problem["errors"][0]["loc"] == ["timeout"]
    assert shown(gateway, sandbox_id)["timeout"] is None

    _patched(gateway, sandbox_id, timeout=time.time() - created_at + 2)
    assert certificate_of(gateway, sandbox_id)["reason"] == "timeout"


def test_labels_are_replaced_and_the_rest_stays(gateway: GatewayProcess) -> None:
    """What a change does not name is not touched."""
    sandbox_id = gateway.create(labels={"a": "1", "b": "2"}, timeout=500, idle_timeout=50)
    before = shown(gateway, sandbox_id)

    after = _patched(gateway, sandbox_id, labels={"c": "3"})

    assert after["labels"] == {"c": "3"}
    for name in ("timeout", "idle_timeout", "created_at", "memory_mb", "idle_action"):
        assert after[name] == before[name]
    assert _patched(gateway, sandbox_id)["labels"] == {"c": "3"}
    gateway.delete(f"/sandboxes/{sandbox_id}")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout", 1e9),
        ("timeout", "soon"),
        ("idle_timeout", 0),
        ("idle_timeout", None),
        ("labels", {"io.sandbox-gateway.x": "y"}),
        ("labels", None),
        ("memory_mb", 64),
        ("status", "paused"),
    ],
)
def test_a_change_that_is_not_allowed_changes_nothing(
    gateway: GatewayProcess, sandbox: str, field: str, value: object
) -> None:
    """422 that names the field, and even what is right beside it is not done."""
    before = shown(gateway, sandbox)
    change = {"labels": {"fine": "yes"}, field: value}

    problem = problem_of(gateway.patch(f"/sandboxes/{sandbox}", json=change), 422)

    assert problem["errors"][0]["loc"][0] == field
    assert shown(gateway, sandbox) == before
    problem_of(gateway.patch("/sandboxes/" + "0" * 32, json={"labels": {}}), 404)


@pytest.mark.parametrize("how", ["kill", "stop"])
def test_deadlines_survive_a_restart(own_gateway: Any, how: str) -> None:
    """They go on while nobody is there to count them: what was due meanwhile goes at once, with
    the right reason, and nothing begins anew."""
    gateway = own_gateway().start_ready()
    kept = gateway.create(timeout=500, idle_timeout=400)
    before = shown(gateway, kept)
    aged, idle = gateway.create(timeout=5), gateway.create(idle_timeout=5)
    created_at = time.time()
    if how == "kill":
        gateway.kill()
    else:
        gateway.signal(signal.SIGTERM)
        gateway.wait_stopped()
    time.sleep(max(0.0, created_at + 5.5 - time.time()))
    gateway.start_ready()
    restarted_at = time.time()

    for sandbox_id, reason in ((aged, "timeout"), (idle, "idle")):
        certificate = certificate_of(gateway, sandbox_id, within_s=SLACK_S)
        assert certificate["reason"] == reason
        assert certificate["at"] - restarted_at < SLACK_S
    after = shown(gateway, kept)
    assert after["expires_at"] == pytest.approx(before["expires_at"], abs=0.5)
    assert after["idle_timeout"] == 400
    eventually(lambda: set(gateway.engine.containers()) == {kept})


def test_a_deadline_is_not_put_off_by_a_restart(own_gateway: Any) -> None:
    """Killed again and again, the gateway still ends it when its time is up."""
    gateway = own_gateway().start_ready()
    sandbox_id = gateway.create(idle_timeout=9)
    created_at = shown(gateway, sandbox_id)["created_at"]
    for _ in range(2):
        gateway.kill()
        gateway.start()

    due_or_ready = max(9.0, time.time() - created_at)
    assert 9 <= _age_at_end(gateway, sandbox_id, created_at) < due_or_ready + SLACK_S


@pytest.mark.parametrize("reason", ["timeout", "idle"])
def test_followers_are_warned_before_the_end(lives: dict[str, Future[Told]], reason: str) -> None:
    """With why and when, in the last tenth of a short life: time enough to extend it."""
    created_at, told = lives[reason].result(timeout=30)
    # Age counts from the request, idleness from when it was there.
    begins_at = created_at if reason == "timeout" else told[0]["at"]

    assert [event["event"] for event in told] == ["created", "ending", "ended"]
    _, warning, end = told
    assert (warning["reason"], end["reason"]) == (reason, reason)
    assert warning["ends_at"] == pytest.approx(begins_at + 10, abs=1)
    assert 0 <= end["at"] - warning["ends_at"] < SLACK_S
    assert 0 < warning["ends_at"] - warning["at"] <= 1.1


def test_whoever_heeds_the_warning_is_warned_anew(lives: dict[str, Future[Told]]) -> None:
    """Extended after the first warning it lives on, and the new end is announced too."""
    _, told = lives["extended"].result(timeout=40)

    assert [event["event"] for event in told] == ["created", "ending", "updated", "ending", "ended"]


@pytest.mark.parametrize("left_by", ["WebSocket", "REST"])
def test_a_frozen_command_does_not_keep_a_paused_sandbox(
    gateway: GatewayProcess, left_by: str
) -> None:
    """Nothing can run in it, so it is idle, whatever it holds: else it would be kept for ever."""
    sandbox_id = gateway.create(idle_timeout=2)
    if left_by == "REST":
        in_background(gateway, sandbox_id, "sleep 1000", "r")
    else:
        with connect(gateway, sandbox_id) as client:
            client.ask("sleep 1000")
            client.output_of("true")
    always(lambda: gateway.status_of(sandbox_id) == "connected", for_s=1)

    assert gateway.post(f"/sandboxes/{sandbox_id}/pause").json()["status"] == "paused"

    assert certificate_of(gateway, sandbox_id, within_s=15)["reason"] == "idle"
    eventually(lambda: sandbox_id not in gateway.engine.containers())


def test_a_client_of_a_paused_sandbox_keeps_it(gateway: GatewayProcess) -> None:
    """Somebody froze it while a client was there: as long as that one stays, it is not idle."""
    sandbox_id = gateway.create(idle_timeout=1)
    with connect(gateway, sandbox_id) as client:
        client.output_of("true")
        gateway.post(f"/sandboxes/{sandbox_id}/pause")
        always(lambda: gateway.status_of(sandbox_id) == "paused", for_s=3)
    eventually(lambda: gateway.status_of(sandbox_id) == "404", within_s=12)
