"""The engine fails: a typed answer in bounded time, nothing half-made, recovery without help."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.clients import connect
from tests.support.engine_proxy import EngineProxy
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of

MakeGateway = Callable[..., GatewayProcess]


@pytest.fixture
def settings_of_own_gateways() -> dict[str, str]:
    """With the usual network, whose addresses and filters are made and removed as well."""
    return {}


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[EngineProxy]:
    with EngineProxy(tmp_path / "engine.sock") as proxy:
        yield proxy


def _refused(gateway: GatewayProcess, method: str, path: str, *codes: str) -> dict:
    answer = gateway.request(method, path)
    problem = problem_of(answer, 503)
    assert problem["code"] in codes
    assert int(answer.headers["Retry-After"]) > 0
    return problem


def test_a_gateway_without_an_engine_starts_says_so_and_recovers(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """The order in which services of a machine come up must not matter."""
    gateway = own_gateway().start(DOCKER_HOST=proxy.url)

    for _ in range(4):
        assert gateway.get("/healthz").status_code == 200
        ready = problem_of(gateway.get("/readyz"), 503)
        assert ready["code"] == "not_ready"
        assert ready["checks"]["engine"]["ok"] is False
        assert ready["checks"]["store"]["ok"] is True
        _refused(gateway, "POST", "/sandboxes", "engine_unavailable")
        _refused(gateway, "GET", "/sandboxes", "engine_unavailable")
        problem_of(gateway.get("/sandboxes/" + "0" * 32), 404)

    proxy.open()

    eventually(lambda: gateway.get("/readyz").status_code == 200)
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("echo well") == "well\n"


def test_an_engine_that_goes_and_comes_back(own_gateway: MakeGateway, proxy: EngineProxy) -> None:
    """As when dockerd is restarted with live-restore: sandboxes stay, calls fail in between,
    and afterwards everything works without a restart of the gateway."""
    proxy.open()
    gateway = own_gateway().start(DOCKER_HOST=proxy.url)
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("echo kept > file")
        client.ask("sleep 2; echo survived", request_id="in flight")
        client.run("true")

        proxy.close()
        _refused(gateway, "POST", "/sandboxes", "engine_unavailable")
        _refused(gateway, "DELETE", f"/sandboxes/{sandbox_id}", "engine_unavailable")
        assert gateway.get("/healthz").status_code == 200
        proxy.open()

        answer = client.receive()
        # Either its result, read on over a new link, or a typed error; never a made-up status.
        if answer.get("type") == "error":
            assert answer["request_id"] == "in flight"
        else:
            assert answer["output"] == "survived\n"
        eventually(lambda: client.run("cat file").get("output") == "kept\n")
    assert gateway.listed() == {sandbox_id}
    assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
    assert not gateway.engine.containers()


def test_a_command_survives_the_connection_to_the_engine(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """Only the connections break, the engine is back at once: nothing lost, nothing twice."""
    proxy.open()
    gateway = own_gateway().start(DOCKER_HOST=proxy.url)
    with connect(gateway, gateway.create()) as client:
        client.run("true")
        client.ask("echo x >> runs; sleep 1.5; echo survived", request_id="in flight")
        client.run("true")
        for _ in range(3):
            proxy.cut()
            time.sleep(0.4)

        assert client.receive()["output"] == "survived\n"
        assert client.output_of("cat runs") == "x\n"


def test_an_engine_that_hangs_is_answered_for_in_bounded_time(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """It accepts and never answers: 503 after the configured time, and meanwhile the gateway
    serves everything that needs no engine."""
    proxy.open()
    gateway = own_gateway(engine_timeout="2").start(DOCKER_HOST=proxy.url)
    sandbox_id, victim = gateway.create(), gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("true")
    proxy.hang()

    started = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(_refused, gateway, method, path, "engine_timeout", "engine_unavailable")
            for method, path in (
                ("POST", "/sandboxes"),
                ("GET", "/sandboxes"),
                ("GET", f"/sandboxes/{sandbox_id}"),
                ("DELETE", f"/sandboxes/{victim}"),
            )
        ]
        while not all(call.done() for call in calls):
            assert gateway.get("/healthz", timeout=1).status_code == 200
        for call in calls:
            call.result()
    assert time.monotonic() - started < 15
    ready = problem_of(gateway.get("/readyz"), 503)
    assert ready["checks"]["engine"]["ok"] is False

    proxy.answer()

    def agrees() -> bool:
        return gateway.listed() == set(gateway.engine.containers()) == {sandbox_id}

    eventually(agrees, within_s=20)
    assert _ended(gateway, victim)["reason"] == "deleted"
    assert problem_of(gateway.delete(f"/sandboxes/{victim}"), 404)["ended"]["reason"] == "deleted"
    assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
    assert sandbox_id not in gateway.engine.containers()
    # The create that was answered by 503 may come to be even after that.
    eventually(lambda: not gateway.engine.containers(), within_s=20)


@pytest.mark.parametrize("late", [True, False], ids=["done late", "never done"])
@pytest.mark.parametrize("killed", [False, True], ids=["", "gateway killed"])
def test_a_delete_that_the_engine_does_not_answer_is_carried_on(
    own_gateway: MakeGateway, proxy: EngineProxy, late: bool, killed: bool
) -> None:
    """What the engine may do yet must not be told as an accident. Until then nobody gets into the
    sandbox, and who asks again is answered as the first one was; afterwards it is gone as
    `deleted`, whether the engine has done it or the gateway had to ask again."""
    proxy.open()
    gateway = own_gateway(engine_timeout="2").start(DOCKER_HOST=proxy.url)
    sandbox_id = gateway.create()
    proxy.hang()

    for _ in range(2):
        _refused(gateway, "DELETE", f"/sandboxes/{sandbox_id}", "engine_timeout")
        assert _ended(gateway, sandbox_id)["reason"] == "deleted"
        assert sandbox_id in gateway.engine.containers()
    if killed:
        gateway.kill()
    if not late:
        proxy.cut()
    proxy.answer()
    if killed:
        gateway.start(DOCKER_HOST=proxy.url)

    eventually(lambda: not gateway.engine.containers(), within_s=20)
    eventually(lambda: _events_of(gateway, sandbox_id)[-1] == ("ended", "deleted"))
    assert gateway.listed() == set()
    certificate = _ended(gateway, sandbox_id)
    assert (certificate["reason"], certificate["exit_code"]) == ("deleted", None)
    problem_of(gateway.delete(f"/sandboxes/{sandbox_id}"), 404)


def test_a_delete_is_asked_for_again_as_soon_as_the_engine_answers(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """Whoever does what the 503 says, and tries again, has its 200, and one of several has it."""
    proxy.open()
    gateway = own_gateway(engine_timeout="2").start(DOCKER_HOST=proxy.url)
    sandbox_id = gateway.create()
    proxy.hang()
    _refused(gateway, "DELETE", f"/sandboxes/{sandbox_id}", "engine_timeout")
    proxy.cut()

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(gateway.delete, f"/sandboxes/{sandbox_id}") for _ in range(4)]
        time.sleep(0.5)
        proxy.answer()
        codes = sorted(call.result().status_code for call in calls)

    assert codes == [200, 404, 404, 404]
    assert not gateway.engine.containers()
    assert _ended(gateway, sandbox_id)["reason"] == "deleted"


def test_a_lifetime_that_ends_while_the_engine_hangs_is_told_as_such(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """The reason that was claimed stays, with its detail."""
    proxy.open()
    gateway = own_gateway(engine_timeout="2").start(DOCKER_HOST=proxy.url)
    sandbox_id = gateway.create(timeout=2)
    proxy.hang()
    eventually(lambda: "cannot clean up sandbox" in gateway.log())
    proxy.answer()

    eventually(lambda: not gateway.engine.containers(), within_s=20)
    eventually(lambda: _events_of(gateway, sandbox_id)[-1] == ("ended", "timeout"))
    certificate = _ended(gateway, sandbox_id)
    assert certificate["reason"] == "timeout"
    assert certificate["detail"] == "its lifetime of 2 s was over"


def _ended(gateway: GatewayProcess, sandbox_id: str) -> dict:
    return problem_of(gateway.get(f"/sandboxes/{sandbox_id}"), 404)["ended"]


def _events_of(gateway: GatewayProcess, sandbox_id: str) -> list[tuple[str, str | None]]:
    events = gateway.get(f"/sandboxes/{sandbox_id}/events").json()
    return [(event["event"], event.get("facts", event).get("reason")) for event in events]


def test_a_delete_that_the_engine_refuses_can_be_retried(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """503, and the sandbox is still there and still works; the next try succeeds."""
    proxy.open()
    gateway = own_gateway().start(DOCKER_HOST=proxy.url)
    sandbox_id = gateway.create()
    proxy.fail("DELETE /v[0-9.]+/containers/")

    for _ in range(3):
        _refused(gateway, "DELETE", f"/sandboxes/{sandbox_id}", "engine_failed")
        assert gateway.status_of(sandbox_id) == "idle"
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("echo alive") == "alive\n"

    proxy.heal()
    assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
    assert not gateway.engine.containers()


def test_idle_cleanup_is_retried_until_the_engine_does_it(
    own_gateway: MakeGateway, proxy: EngineProxy
) -> None:
    """An engine that refuses for a while must not make a sandbox immortal."""
    proxy.open()
    gateway = own_gateway(idle_timeout="1").start(DOCKER_HOST=proxy.url)
    proxy.fail("DELETE /v[0-9.]+/containers/")
    sandbox_id = gateway.create()
    eventually(lambda: "idle for too long" in gateway.log())
    eventually(lambda: gateway.status_of(sandbox_id) == "idle")

    proxy.heal()

    eventually(lambda: gateway.status_of(sandbox_id) == "404")
    eventually(lambda: not gateway.engine.containers())


@pytest.mark.parametrize(
    "step", ["POST /v[0-9.]+/containers/create", r"POST /v[0-9.]+/containers/[0-9a-f]+/start"]
)
def test_a_create_that_fails_half_way_leaves_nothing(
    own_gateway: MakeGateway, proxy: EngineProxy, step: str
) -> None:
    """No container, no entry in the list, no row that says `starting` for ever."""
    proxy.open()
    gateway = own_gateway().start(DOCKER_HOST=proxy.url)
    proxy.fail(step)

    for _ in range(4):
        _refused(gateway, "POST", "/sandboxes", "engine_failed")
        assert gateway.listed() == set()
        assert not gateway.engine.containers()

    proxy.heal()
    gateway.create()


def test_a_missing_image_is_a_503_and_leaves_nothing(own_gateway: MakeGateway) -> None:
    """The operator's fault, said as such: `/readyz` names the image, the client gets a code."""
    gateway = own_gateway(image="no-such-image:ever").start()

    ready = problem_of(gateway.get("/readyz"), 503)
    assert {name: check["ok"] for name, check in ready["checks"].items()} == {
        "engine": True,
        "image": False,
        "store": True,
    }
    assert "no-such-image:ever" in ready["checks"]["image"]["detail"]
    for _ in range(3):
        _refused(gateway, "POST", "/sandboxes", "image_missing")
    assert gateway.listed() == set()
    assert not gateway.engine.containers()


def test_a_missing_network_is_a_503_and_leaves_nothing(own_gateway: MakeGateway) -> None:
    """Created containers that cannot be attached to their network must not pile up."""
    gateway = own_gateway(network="no-such-network").start()

    for _ in range(3):
        _refused(gateway, "POST", "/sandboxes", "engine_failed")
    assert gateway.listed() == set()
    assert not gateway.engine.containers()


def test_errors_tell_clients_nothing_about_the_host(own_gateway: MakeGateway) -> None:
    """The engine's words name images, paths and sockets: they belong into the log."""
    gateway = own_gateway(image="secret-registry.invalid/secret:1").start(
        DOCKER_HOST="unix:///nonexistent/secret.sock"
    )

    assert "secret" not in gateway.post("/sandboxes").text
    assert "secret" not in gateway.get("/sandboxes").text
