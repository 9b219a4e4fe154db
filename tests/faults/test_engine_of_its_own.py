"""A real engine is stopped, killed and hangs: typed answers in bounded time, nothing lost, nothing
half-made, and all works again soon after its return, without a restart of the gateway.

`scripts/soak tests/faults/test_engine_of_its_own.py` does each 20 times.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import Connection, Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.own_engine import OwnEngine
from tests.support.problems import check_problem, problem_of
from tests.support.rounds import rounds
from tests.support.traffic import Traffic

ROUNDS = rounds(usually=1, soaking=20)

ANSWERED_WHILE_STOPPED_S = 5.0
ANSWERED_WHILE_HUNG_S = 30.0
BACK_S = 10.0

pytestmark = pytest.mark.timeout(120 + 120 * ROUNDS)

UNTIL_TOLD = "echo x >> begun; until [ -e go ]; do sleep 0.1; done; echo survived"


@pytest.fixture
def engine(engine_of_its_own: OwnEngine) -> OwnEngine:
    engine_of_its_own.start(live_restore=True)
    return engine_of_its_own


@pytest.fixture
def gateway(
    engine: OwnEngine, own_gateway: Callable[..., GatewayProcess]
) -> Iterator[GatewayProcess]:
    """A gateway with default settings on that engine."""
    gateway = own_gateway(engine_url=engine.url, image=engine.image, network="none")
    yield gateway.start_ready()
    # Its containers can be removed by a running engine only.
    engine.start()


class _Waiting:
    """A client whose command in `sandbox_id` ends when it is told to."""

    def __init__(self, gateway: GatewayProcess, sandbox_id: str) -> None:
        self.client: Connection = connect(gateway, sandbox_id)
        self.client.output_of("rm -f begun go")
        self.client.ask(UNTIL_TOLD, request_id="in flight")
        assert self.works()

    def works(self) -> bool:
        """Another command beside it, over the same connection."""
        return self.client.output_of("echo still here", within_s=2) == "still here\n"

    def ends(self) -> None:
        """It has run all the time, once, and its result comes."""
        self.client.ask("touch go", request_id="tell")
        results = {message["request_id"]: message for message in map(self._next, range(2))}
        assert results["in flight"]["output"] == "survived\n"
        assert results["in flight"]["returncode"] == 0
        assert self.client.output_of("cat begun") == "x\n"
        self.client.close()

    def _next(self, _: int) -> dict:
        return self.client.receive(within_s=5)


def _calls(used: str, unused: str, victim: str) -> list[tuple[str, str, dict]]:
    """One of each kind that needs the engine. No client has been in `unused` yet."""
    return [
        ("POST", "/sandboxes", {}),
        ("GET", "/sandboxes", {}),
        ("GET", f"/sandboxes/{used}", {}),
        ("DELETE", f"/sandboxes/{victim}", {}),
        ("POST", f"/sandboxes/{unused}/commands", {"json": {"command": "echo never"}}),
    ]


def _refused(gateway: GatewayProcess, method: str, path: str, options: dict) -> float:
    """Ask; after how many seconds the 503 came."""
    started = time.monotonic()
    answer = gateway.request(method, path, **options)
    took_s = time.monotonic() - started
    problem = problem_of(answer, 503)
    assert problem["code"] in ("engine_unavailable", "engine_timeout"), (method, path, problem)
    assert int(answer.headers["Retry-After"]) > 0
    return took_s


def _refused_upgrade(gateway: GatewayProcess, sandbox_id: str) -> float:
    started = time.monotonic()
    with pytest.raises(Refused) as refused:
        connect(gateway, sandbox_id)
    answer = refused.value
    check_problem(answer.headers["content-type"], answer.body, 503)
    return time.monotonic() - started


def _nothing_too_many(gateway: GatewayProcess, engine: OwnEngine, expected: set[str]) -> bool:
    """The leak oracle, for an engine that nobody else uses."""
    assert gateway.listed() == expected
    containers = gateway.engine.containers()
    assert set(containers) == expected
    assert engine.running() == set(containers.values())
    assert engine.mounted() == len(containers)
    return True


def _all_works(gateway: GatewayProcess, expected: set[str], since: float) -> None:
    """Within `BACK_S` of `since` (monotonic), at the first try once `/readyz` says so."""
    eventually(lambda: gateway.get("/readyz").status_code == 200, within_s=BACK_S)
    assert expected <= gateway.listed()
    sandbox_id = gateway.create()
    for one in (sandbox_id, *expected):
        with connect(gateway, one) as client:
            assert client.output_of("echo well") == "well\n"
    assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
    took_s = time.monotonic() - since
    assert took_s < BACK_S, f"all worked only {took_s:.1f} s after the engine's return"


def test_the_machines_engine_keeps_its_interfaces(engine: OwnEngine) -> None:
    """Two engines share docker0 by name. One that is told to have no bridge deletes it, and nothing
    with a network can be built or run on the other until it is restarted."""
    assert os.readlink(f"/proc/{engine.pid}/ns/net") != os.readlink("/proc/self/ns/net")


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_an_engine_that_is_restarted_takes_no_sandbox_and_no_command(
    engine: OwnEngine, gateway: GatewayProcess, how: str
) -> None:
    """An upgrade of Docker, or its crash, on a machine with live-restore: commands go on and their
    clients talk to them meanwhile, who needs the engine is told so, and nobody has to restart
    the gateway."""
    used = gateway.create()
    for _ in range(ROUNDS):
        unused = gateway.create()
        waiting = _Waiting(gateway, used)
        with Traffic(gateway) as traffic:
            eventually(lambda t=traffic: len(t.answers) >= 2)

            getattr(engine, how)()

            for method, path, options in _calls(used, unused, unused):
                took_s = _refused(gateway, method, path, options)
                assert took_s < ANSWERED_WHILE_STOPPED_S, (method, path)
            assert _refused_upgrade(gateway, unused) < ANSWERED_WHILE_STOPPED_S
            assert gateway.get("/healthz", timeout=1).status_code == 200
            assert problem_of(gateway.get("/readyz"), 503)["checks"]["engine"]["ok"] is False
            assert waiting.works()

            engine.start()

            _all_works(gateway, {used, unused}, time.monotonic())
        assert traffic.slowest().took_s < ANSWERED_WHILE_STOPPED_S, traffic.slowest()
        assert traffic.codes() <= {"engine_unavailable", "engine_timeout", "engine_failed"}
        waiting.ends()
        assert gateway.delete(f"/sandboxes/{unused}").status_code == 200
        eventually(lambda: _nothing_too_many(gateway, engine, {used}), within_s=20)


def test_an_engine_that_stops_its_containers_ends_their_clients(
    engine: OwnEngine, gateway: GatewayProcess
) -> None:
    """Without live-restore all sandboxes end with the engine. Their clients learn it, commands in
    flight get an error and never a status, and what is left of the containers goes."""
    engine.start(live_restore=False)
    for _ in range(ROUNDS):
        quiet, busy = gateway.create(), gateway.create()
        listening = connect(gateway, quiet)
        waiting = _Waiting(gateway, busy).client

        engine.stop()
        engine.start(live_restore=False)
        since = time.monotonic()

        for client, in_flight in ((listening, []), (waiting, ["in flight"])):
            messages, code = client.read_to_close(within_s=BACK_S)
            assert messages[-1]["type"] == "ended"
            assert isinstance(messages[-1]["reason"], str)
            assert [message["request_id"] for message in messages[:-1]] == in_flight
            assert {message["type"] for message in messages[:-1]} <= {"error"}
            assert code == 1001
        for sandbox_id in (quiet, busy):
            problem_of(gateway.get(f"/sandboxes/{sandbox_id}"), 404)
        _all_works(gateway, set(), since)
        eventually(lambda: _nothing_too_many(gateway, engine, set()), within_s=20)


@pytest.mark.parametrize("whole", [True, False], ids=["dockerd", "containerd"])
def test_an_engine_that_hangs_is_answered_for_in_thirty_seconds(
    engine: OwnEngine, gateway: GatewayProcess, whole: bool
) -> None:
    """It takes every call and answers none: with default settings nobody waits longer than that,
    what needs no engine works on, and so does everything soon after it wakes up."""
    used = gateway.create()
    for _ in range(ROUNDS):
        unused, victim = gateway.create(), gateway.create()
        waiting = _Waiting(gateway, used)

        engine.hang(whole=whole)

        with ThreadPoolExecutor(8) as pool:
            asked = _calls(used, unused, victim)
            if not whole:
                # The rest is answered as ever.
                asked = [("POST", "/sandboxes", {}), ("DELETE", f"/sandboxes/{victim}", {})]
            calls = [pool.submit(_refused, gateway, *call) for call in asked]
            if whole:
                calls.append(pool.submit(_refused_upgrade, gateway, unused))
            while not all(call.done() for call in calls):
                assert gateway.get("/healthz", timeout=1).status_code == 200
                assert waiting.works()
                time.sleep(0.2)
        answered = [call.result() for call in calls]
        assert max(answered) < ANSWERED_WHILE_HUNG_S, answered

        engine.go_on()
        since = time.monotonic()

        _all_works(gateway, {used, unused}, since)
        waiting.ends()
        ended = problem_of(gateway.delete(f"/sandboxes/{victim}"), 404)["ended"]
        assert ended["reason"] == "deleted"
        assert gateway.delete(f"/sandboxes/{unused}").status_code == 200
        eventually(lambda: _nothing_too_many(gateway, engine, {used}), within_s=20)
