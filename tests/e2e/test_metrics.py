"""`/metrics` of the real gateway: two workers, one truth."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psutil
import pytest

from tests.support import gateway_process
from tests.support.clients import Connection, Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.scrape import Scrape

MakeGateway = Callable[..., GatewayProcess]

COMMANDS = 10

START_S = 60.0
"""A worker's start, and a look by whoever takes the dead one's leases over, on a busy machine."""


def _scrapes_of_each(gateway: GatewayProcess) -> list[Scrape]:
    scrapes = []
    for worker in gateway.workers():
        with gateway.only(worker):
            scrapes.append(Scrape(gateway))
    return scrapes


def _connect_to_each(gateway: GatewayProcess, sandbox_id: str) -> list[Connection]:
    return [
        eventually(partial(_connect_to, gateway, worker, sandbox_id), within_s=30)
        for worker in gateway.workers()
    ]


def _connect_to(
    gateway: GatewayProcess, worker: psutil.Process, sandbox_id: str
) -> Connection | None:
    """None when the others were stopped in the middle of a write, so that the store is locked."""
    try:
        with gateway.only(worker):
            return connect(gateway, sandbox_id)
    except Refused as refused:
        if refused.status != 503:
            raise
        return None


def test_each_worker_tells_what_both_have_done(own_gateway: MakeGateway) -> None:
    """A scrape reaches one worker by chance: what only that one has counted would jump up and
    down, and every rate would be wrong."""
    gateway = own_gateway(pool_size="0").start_ready()
    sandbox_id = gateway.create()
    clients = _connect_to_each(gateway, sandbox_id)
    for client in clients:
        for _ in range(COMMANDS):
            client.run("echo 12345")
        client.run("exit 3")
        client.run("sleep 9", timeout=0.2)
        client.ask("echo streamed; exit 4", stream=True, request_id="s")
        while client.receive().get("type") != "result":
            pass
    gateway.post(f"/sandboxes/{sandbox_id}/commands", json={"command": "true"})
    background = {"command": "true", "background": True}
    gateway.post(f"/sandboxes/{sandbox_id}/commands", json=background)

    for scrape in _scrapes_of_each(gateway):
        assert scrape("commands_total", outcome="ok") == 2 * COMMANDS + 1
        assert scrape("commands_total", outcome="nonzero") == 4
        assert scrape("commands_total", outcome="timed_out") == 2
        assert scrape("commands_total", outcome="unseen") == 1
        assert scrape("commands_total", outcome="lost") == 0
        assert scrape("command_seconds_count") == 2 * COMMANDS + 7
        assert scrape("command_seconds_sum") >= 0.4
        assert scrape("command_output_bytes_total") == 2 * (COMMANDS * 6 + 9)
        assert scrape("websocket_bytes_total", direction="to_client") > 2 * COMMANDS * 100
        assert scrape("websocket_bytes_total", direction="from_client") > 2 * COMMANDS * 20
        assert scrape("websockets") == scrape("links") == scrape("workers") == 2
        assert scrape("sandboxes", state="connected") == 1
        assert scrape("sandboxes", state="idle") == 0

    for client in clients:
        client.close()
    eventually(lambda: Scrape(gateway)("websockets") == 0)
    eventually(lambda: Scrape(gateway)("sandboxes", state="idle") == 1)
    gateway.delete(f"/sandboxes/{sandbox_id}")
    eventually(lambda: Scrape(gateway)("links") == 0)
    assert Scrape(gateway)("sandboxes", state="idle") == 0


def _survives_a_killed_worker(gateway: GatewayProcess) -> None:
    sandbox_id = gateway.create()
    for _ in range(2):
        kept, lost = _connect_to_each(gateway, sandbox_id)
        for client in (kept, lost):
            for _ in range(COMMANDS):
                client.run("echo 12345")
        before = Scrape(gateway)
        assert before("websockets") == before("links") == before("workers") == 2

        victim = gateway.workers()[1]
        victim.kill()
        victim.wait(10)

        eventually(lambda: Scrape(gateway)("workers") == 2, within_s=START_S)
        after = Scrape(gateway)
        assert after("websockets") == 1
        # Whoever takes the dead one's leases over looks whether something runs in the sandbox.
        eventually(lambda: Scrape(gateway)("links") == 1, within_s=START_S)
        for key, value in before.counters.items():
            assert after.counters[key] >= value, key
        ok = before("commands_total", outcome="ok")
        assert after("commands_total", outcome="ok") == ok
        for client in _connect_to_each(gateway, sandbox_id):
            client.run("true")
            client.close()
        for scrape in _scrapes_of_each(gateway):
            assert scrape("commands_total", outcome="ok") == ok + 2
        kept.close()
        lost.close()
        eventually(lambda: Scrape(gateway)("websockets") == 0)
        # The link into a new sandbox waits a while for its first use.
        eventually(lambda: Scrape(gateway)("links") == 0, within_s=START_S)


@pytest.mark.timeout(300)
def test_a_killed_worker_leaves_its_counts_but_none_of_its_gauges(own_gateway: MakeGateway) -> None:
    """Counters that fall are taken for a restart, gauges that stay for leaks; and the worker that
    follows counts on."""
    _survives_a_killed_worker(own_gateway(pool_size="0").start_ready())


@pytest.mark.timeout(300)
def test_it_adds_up_without_the_gateways_own_configuration(
    own_gateway: MakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`gunicorn -k gevent wsgi:app` has none of our hooks, and its workers are killed as well."""
    gateway = own_gateway(pool_size="0")
    address = f"127.0.0.1:{gateway.port}"
    plain = ["-k", "gevent", "-w", "2", "-b", address, "--no-control-socket", "wsgi:app"]
    monkeypatch.setattr(gateway_process, "_COMMAND", [sys.executable, "-m", "gunicorn", *plain])

    _survives_a_killed_worker(gateway.start_ready())


def test_a_restarted_gateway_begins_at_zero(own_gateway: MakeGateway) -> None:
    """What Prometheus knows as a reset. What there is, it knows at once."""
    gateway = own_gateway(pool_size="0").start_ready()
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        client.run("true")
    assert Scrape(gateway)("commands_total", outcome="ok") == 1
    files = set((gateway.data_dir / "metrics").rglob("*.db"))

    gateway.kill()
    gateway.start_ready()

    assert Scrape(gateway)("commands_total", outcome="ok") == 0
    eventually(lambda: Scrape(gateway)("sandboxes", state="idle") == 1)
    assert not any(path.exists() for path in files)


def test_creates_and_ends_are_counted(own_gateway: MakeGateway) -> None:
    """From the pool or not, with the time it took; refused ones apart, for they never began."""
    gateway = own_gateway(pool_size="1", max="2", queue_wait="0.5").start_ready()
    eventually(lambda: sum(Scrape(gateway).of("pool_ready").values()) == 1, within_s=30)
    warm = gateway.create()
    cold = gateway.post("/sandboxes", json={"env": {"A": "b"}}).json()["sandbox_id"]
    assert gateway.post("/sandboxes").status_code == 503
    gateway.delete(f"/sandboxes/{warm}")
    gateway.engine.remove(cold)

    eventually(lambda: Scrape(gateway)("sandboxes_ended_total", reason="deleted") == 1)
    eventually(lambda: sum(Scrape(gateway).of("sandboxes_ended_total").values()) == 2)
    for scrape in _scrapes_of_each(gateway):
        assert scrape("creates_total", kind="warm", outcome="ok") == 1
        assert scrape("creates_total", kind="cold", outcome="ok") == 1
        assert scrape("create_seconds_count", kind="warm") == 1
        assert scrape("create_seconds_sum", kind="cold") > 0.05
        assert scrape("pool_hits_total") == 1
        assert sum(scrape.of("admission_refusals_total").values()) == 1


def test_failed_calls_to_the_engine_are_counted(own_gateway: MakeGateway) -> None:
    """An image that does not exist, asked for in vain by both workers."""
    gateway = own_gateway(image="no-such-image-anywhere", pool_size="0").start()

    for worker in gateway.workers():
        with gateway.only(worker):
            assert gateway.post("/sandboxes").status_code == 503

    for scrape in _scrapes_of_each(gateway):
        assert scrape("engine_errors_total", kind="image_missing") >= 2


def test_scrapes_are_answered_while_commands_run(own_gateway: MakeGateway) -> None:
    """Sixteen clients run commands without a pause meanwhile; what it took is printed."""
    gateway = own_gateway(pool_size="0").start_ready()
    sandbox_id = gateway.create()
    until = time.monotonic() + 5

    def run_on(_: int) -> int:
        ran = 0
        with connect(gateway, sandbox_id) as client:
            while time.monotonic() < until:
                client.run("true")
                ran += 1
        return ran

    took_s: list[float] = []
    with ThreadPoolExecutor(16) as pool:
        running = pool.map(run_on, range(16))
        while time.monotonic() < until:
            begun = time.monotonic()
            Scrape(gateway)
            took_s.append(time.monotonic() - begun)
            time.sleep(0.05)
        ran = sum(running)

    assert Scrape(gateway)("commands_total", outcome="ok") == ran
    print(f"{len(took_s)} scrapes beside {ran} commands: median {statistics.median(took_s):.3f} s")
    print("longest: " + ", ".join(f"{seconds:.3f}" for seconds in sorted(took_s)[-5:]))
    assert max(took_s) < 5
