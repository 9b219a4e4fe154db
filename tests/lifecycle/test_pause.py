"""Freezing and thawing: by whoever, at any moment, and nobody who uses a sandbox is left frozen."""

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
from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import leak_oracle
from tests.support.lifecycle import MakeGateway, events_of, kinds_of, shown, stored_state
from tests.support.problems import problem_of
from tests.support.rest_commands import finished, in_background, result_of

COUNT = "for i in $(seq 40); do echo $i; sleep 0.1; done"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[EngineProxy]:
    with EngineProxy(tmp_path / "engine.sock") as proxy:
        proxy.open()
        yield proxy


def _pause(gateway: GatewayProcess, sandbox_id: str) -> None:
    answer = gateway.post(f"/sandboxes/{sandbox_id}/pause")
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "paused"


def _is_frozen(gateway: GatewayProcess, sandbox_id: str) -> bool:
    return gateway.engine.inspect(sandbox_id)["State"]["Paused"]


def test_pause_and_resume_may_be_repeated(gateway: GatewayProcess, sandbox: str) -> None:
    """Both answer with the sandbox as it is then, and what was so already is told only once."""
    for _ in range(3):
        _pause(gateway, sandbox)
        assert shown(gateway, sandbox)["status"] == "paused"
        [listed] = [s for s in gateway.get("/sandboxes").json() if s["sandbox_id"] == sandbox]
        assert listed["status"] == "paused"
        assert _is_frozen(gateway, sandbox)
    for _ in range(3):
        answer = gateway.post(f"/sandboxes/{sandbox}/resume")
        assert (answer.status_code, answer.json()["status"]) == (200, "idle")
        assert not _is_frozen(gateway, sandbox)
    assert kinds_of(gateway, sandbox) == ["created", "paused", "resumed"]
    problem_of(gateway.post("/sandboxes/" + "0" * 32 + "/pause"), 404)
    problem_of(gateway.post("/sandboxes/" + "0" * 32 + "/resume"), 404)


def test_many_at_once_agree(gateway: GatewayProcess, sandbox: str) -> None:
    """Pauses and resumes from all sides: each is answered, and the end is what the store says."""
    calls = ["pause", "resume"] * 12
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda call: gateway.post(f"/sandboxes/{sandbox}/{call}"), calls))

    assert {answer.status_code for answer in answers} <= {200, 409}
    for answer in answers:
        if answer.status_code == 409:
            assert problem_of(answer, 409)["code"] == "sandbox_busy"
    eventually(
        lambda: _is_frozen(gateway, sandbox) == (gateway.status_of(sandbox) == "paused"),
        within_s=8,
    )
    with connect(gateway, sandbox) as client:
        assert client.output_of("echo well", within_s=5) == "well\n"


@pytest.mark.parametrize("which", [0, 1])
def test_connecting_thaws(gateway: GatewayProcess, sandbox: str, which: int) -> None:
    """In whichever worker, before the handshake is answered."""
    _pause(gateway, sandbox)

    with gateway.only(gateway.workers()[which]):
        client = connect(gateway, sandbox)

    assert not _is_frozen(gateway, sandbox)
    assert client.output_of("echo awake", within_s=3) == "awake\n"
    assert shown(gateway, sandbox)["status"] == "connected"
    client.close()


def test_a_command_over_rest_thaws(gateway: GatewayProcess, sandbox: str) -> None:
    """Waited for or in the background."""
    for _ in range(2):
        _pause(gateway, sandbox)
        started = time.monotonic()
        assert result_of(gateway, sandbox, "echo awake")["output"] == "awake\n"
        assert time.monotonic() - started < 3
    _pause(gateway, sandbox)
    address = in_background(gateway, sandbox, "echo done", "background")
    assert eventually(lambda: finished(gateway, address))["result"]["output"] == "done\n"


@pytest.mark.parametrize("pauser", [0, 1])
def test_a_command_on_an_open_socket_thaws(
    gateway: GatewayProcess, sandbox: str, pauser: int
) -> None:
    """The client was there before; who paused it sits in this worker or in the other. Its command
    is answered within a second or so, and nobody need connect anew."""
    worker = gateway.workers()[0]
    with gateway.only(worker):
        client = connect(gateway, sandbox)
    client.output_of("true")
    for pause_s in (0.0, 0.1, 1.0):
        with gateway.only(gateway.workers()[pauser]):
            _pause(gateway, sandbox)
        time.sleep(pause_s)
        started = time.monotonic()

        assert client.output_of("echo awake", within_s=5) == "awake\n"

        assert time.monotonic() - started < 2
        assert shown(gateway, sandbox)["status"] == "connected"
    client.close()


def test_a_client_that_asks_for_nothing_does_not_thaw(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """Pings and silence leave a sandbox frozen that somebody froze on purpose."""
    with connect(gateway, sandbox) as client:
        client.output_of("true")
        _pause(gateway, sandbox)
        for _ in range(5):
            client.send({"type": "ping"})
            assert client.receive() == {"type": "pong"}
            time.sleep(0.3)
            assert _is_frozen(gateway, sandbox)


def test_output_goes_on_after_a_thaw_and_nothing_is_lost(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """A streamed command frozen three times: every line once, in order, and its status."""
    with connect(gateway, sandbox) as client:
        client.ask(COUNT, stream=True, request_id="count")
        received, result = "", None
        for _ in range(3):
            time.sleep(0.5)
            _pause(gateway, sandbox)
            time.sleep(0.5)
            assert gateway.post(f"/sandboxes/{sandbox}/resume").status_code == 200
        while result is None:
            message = client.receive(within_s=15)
            if message["type"] == "stdout":
                assert message["offset"] == len(received)
                received += message["data"]
            elif message["type"] == "result":
                result = message
    assert received == "".join(f"{number}\n" for number in range(1, 41))
    assert result["returncode"] == 0


def test_a_frozen_command_survives_a_killed_gateway(own_gateway: MakeGateway) -> None:
    """Paused, killed, restarted: still paused, and its command goes on when it is thawed."""
    gateway = own_gateway().start_ready()
    sandbox_id = gateway.create()
    address = in_background(gateway, sandbox_id, COUNT, "count")
    _pause(gateway, sandbox_id)
    gateway.kill()

    gateway.start_ready()

    always(lambda: gateway.status_of(sandbox_id) == "paused", for_s=2)
    gateway.post(f"/sandboxes/{sandbox_id}/resume")
    result = eventually(lambda: finished(gateway, address), within_s=15)["result"]
    assert result["output"] == "".join(f"{number}\n" for number in range(1, 41))


def test_another_hand_is_followed(gateway: GatewayProcess, sandbox: str) -> None:
    """`docker pause` and `docker unpause`: status and events say so within seconds."""
    container_id = gateway.engine.container_of(sandbox)
    for round_number in range(1, 3):
        gateway.engine.api.pause(container_id)
        eventually(lambda: shown(gateway, sandbox)["status"] == "paused", within_s=1)
        eventually(
            lambda n=round_number: kinds_of(gateway, sandbox).count("paused") == n, within_s=3
        )
        gateway.engine.api.unpause(container_id)
        eventually(lambda: shown(gateway, sandbox)["status"] == "idle", within_s=1)
        eventually(
            lambda n=round_number: kinds_of(gateway, sandbox).count("resumed") == n, within_s=3
        )
    assert {event["by"] for event in events_of(gateway, sandbox) if event["event"] == "paused"} == {
        "engine"
    }


@pytest.mark.parametrize("wait_s", [0.0, 1.0])
def test_a_command_thaws_what_another_hand_froze(
    gateway: GatewayProcess, sandbox: str, wait_s: float
) -> None:
    """Sent before the gateway has noticed the pause, or after: it is answered."""
    with connect(gateway, sandbox) as client:
        client.output_of("true")
        gateway.engine.api.pause(gateway.engine.container_of(sandbox))
        time.sleep(wait_s)

        assert client.output_of("echo awake", within_s=5) == "awake\n"
    gateway.engine.api.pause(gateway.engine.container_of(sandbox))
    time.sleep(wait_s)
    assert result_of(gateway, sandbox, "echo awake", timeout=10)["output"] == "awake\n"


def test_pauses_that_race_with_connects_leave_nobody_frozen(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """Fifty times both at once, over both workers: whoever is connected gets answers."""
    chance = random.Random(50)
    with ThreadPoolExecutor(2) as pool:
        for number in range(50):
            early = chance.uniform(-0.03, 0.03)
            pausing = pool.submit(_pause_after, gateway, sandbox, max(0.0, early))
            time.sleep(max(0.0, -early))
            with connect(gateway, sandbox) as client:
                assert pausing.result(timeout=20).status_code in (200, 409)
                started = time.monotonic()
                assert client.output_of(f"echo {number}", within_s=5) == f"{number}\n"
                assert time.monotonic() - started < 3
    eventually(lambda: gateway.status_of(sandbox) == "idle")
    assert not _is_frozen(gateway, sandbox)


def _pause_after(gateway: GatewayProcess, sandbox_id: str, delay_s: float) -> requests.Response:
    time.sleep(delay_s)
    return gateway.post(f"/sandboxes/{sandbox_id}/pause")


def test_a_command_that_is_sent_while_the_sandbox_is_being_paused_is_answered(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """It comes after the pause was asked for and before it is done: it is newer, so it wins."""
    gateway = own_gateway().start(DOCKER_HOST=proxy.url)
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client, ThreadPoolExecutor(1) as pool:
        client.output_of("true")
        proxy.hang()
        pausing = pool.submit(gateway.post, f"/sandboxes/{sandbox_id}/pause")
        eventually(lambda: stored_state(gateway, sandbox_id) == "pausing")
        gateway.engine.api.pause(gateway.engine.container_of(sandbox_id))
        client.ask("echo awake")
        time.sleep(0.2)
        proxy.answer()
        assert pausing.result(timeout=30).status_code == 200

        assert client.receive(within_s=5)["output"] == "awake\n"


def test_a_worker_killed_in_the_middle_of_pausing_is_settled(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """The engine may or may not have frozen it by then: what it is counts, and it can be used."""
    gateway = own_gateway().start(DOCKER_HOST=proxy.url)
    sandbox_id = gateway.create()
    with ThreadPoolExecutor(1) as pool:
        victim = gateway.workers()[0]
        proxy.hang()
        with gateway.only(victim):
            pausing = pool.submit(gateway.post, f"/sandboxes/{sandbox_id}/pause")
            eventually(lambda: stored_state(gateway, sandbox_id) == "pausing")
            victim.kill()
        assert isinstance(pausing.exception(timeout=30), requests.RequestException)
    proxy.answer()

    eventually(lambda: stored_state(gateway, sandbox_id) in ("ready", "paused"), within_s=15)
    eventually(
        lambda: _is_frozen(gateway, sandbox_id) == (stored_state(gateway, sandbox_id) == "paused"),
        within_s=10,
    )
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("echo awake", within_s=5) == "awake\n"


def test_an_engine_that_cannot_freeze_says_so(own_gateway: MakeGateway, proxy: EngineProxy) -> None:
    """503, and the sandbox is as it was."""
    gateway = own_gateway().start(DOCKER_HOST=proxy.url)
    sandbox_id = gateway.create()
    proxy.fail("POST /v[0-9.]+/containers/[0-9a-f]+/pause")

    problem_of(gateway.post(f"/sandboxes/{sandbox_id}/pause"), 503)

    assert gateway.status_of(sandbox_id) == "idle"
    proxy.heal()
    _pause(gateway, sandbox_id)


def test_paused_sandboxes_are_deleted_and_ended_like_others(gateway: GatewayProcess) -> None:
    """By a client, and with a client connected; nothing is left of it."""
    with leak_oracle(gateway):
        for _ in range(3):
            sandbox_id = gateway.create()
            with connect(gateway, sandbox_id) as client:
                client.output_of("true")
                client.ask("sleep 100")
                client.output_of("true")
                _pause(gateway, sandbox_id)
                started = time.monotonic()
                assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
                assert time.monotonic() - started < 5
                messages, code = client.read_to_close(within_s=5)
                assert messages[-1] == {"type": "ended", "reason": "deleted"}
                assert code == 1001
