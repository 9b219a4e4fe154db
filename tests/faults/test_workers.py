"""Workers that die, and a gateway that is told to stop."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from tests.support.clients import LIBRARIES, Closed, connect
from tests.support.eventually import always, eventually
from tests.support.gateway_process import BY_COMMAND_LINE, GatewayProcess

MakeGateway = Callable[..., GatewayProcess]


@pytest.fixture
def settings_of_own_gateways() -> dict[str, str]:
    """With the usual network, whose addresses and filters are made and removed as well."""
    return {}


def test_a_killed_worker_takes_nothing_but_its_own_connections(own_gateway: MakeGateway) -> None:
    """`kill -9` of one of two under load: the other answers on, the dead one's leases are
    dropped, and a new worker takes its place."""
    gateway = own_gateway().start_ready(**BY_COMMAND_LINE)
    ours, theirs = gateway.create(), gateway.create()
    survivor, victim = gateway.workers()
    with gateway.only(survivor):
        kept = connect(gateway, ours)
    with gateway.only(victim):
        lost = connect(gateway, theirs)
    lost.run("true")
    kept.ask("sleep 1.5; echo kept", request_id="slow")

    victim.kill()

    slow = None
    for number in range(50):
        result = kept.run(f"echo {number}")
        if result["request_id"] == "slow":  # on a busy machine before the last of the fifty
            slow, result = result, kept.receive()
        assert result["output"] == f"{number}\n"
    assert (slow or kept.receive())["output"] == "kept\n"
    with pytest.raises(Closed):
        lost.receive(within_s=5)
    eventually(lambda: gateway.status_of(theirs) == "idle")
    eventually(lambda: len(gateway.workers()) == 2)
    assert gateway.status_of(ours) == "connected"
    for worker in gateway.workers():
        with gateway.only(worker), connect(gateway, theirs) as client:
            assert client.output_of("echo again") == "again\n"
    # What the new one needs was imported before it was forked: the master has paid for it.
    (new,) = [
        worker for worker in gateway.workers() if worker.pid not in {survivor.pid, victim.pid}
    ]
    assert _processor_s(new) < _processor_s(psutil.Process(gateway.pid))


def _processor_s(process: psutil.Process) -> float:
    """What it has used by itself."""
    times = process.cpu_times()
    return times.user + times.system


def test_a_command_of_a_killed_worker_is_not_idle_until_it_ends(own_gateway: MakeGateway) -> None:
    """Another worker takes the watch over: the command ends undisturbed, then the sandbox goes."""
    gateway = own_gateway(idle_timeout="1").start_ready()
    sandbox_id = gateway.create()
    victim = gateway.workers()[0]
    with gateway.only(victim):
        client = connect(gateway, sandbox_id)
    client.run("true")
    started = time.monotonic()
    client.ask("sleep 5; echo done > result; sleep 1")
    client.run("true")

    victim.kill()

    eventually(lambda: gateway.status_of(sandbox_id) == "404", within_s=20)
    assert time.monotonic() - started > 6


@pytest.mark.parametrize("which", [0, 1])
def test_housekeeping_goes_on_in_the_other_worker(own_gateway: MakeGateway, which: int) -> None:
    """Whichever worker was elected to keep house: when it is killed, another is."""
    gateway = own_gateway(idle_timeout="1").start_ready()
    first = gateway.create()
    eventually(lambda: gateway.status_of(first) == "404")

    gateway.workers()[which].kill()

    eventually(lambda: len(gateway.workers()) == 2)
    second = gateway.create()
    eventually(lambda: gateway.status_of(second) == "404")
    eventually(lambda: not gateway.engine.containers())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_stop_says_goodbye_at_once_and_ends_in_time(own_gateway: MakeGateway, number: int) -> None:
    """Every socket in every worker gets a close frame 1001 within a second; the processes are
    gone within the grace; running commands go on without them."""
    gateway = own_gateway().start_ready()
    sandbox_id = gateway.create()
    clients = []
    for worker in gateway.workers():
        for library in LIBRARIES:
            with gateway.only(worker):
                clients.append(connect(gateway, sandbox_id, library))
    clients[0].run("true")
    clients[0].ask("sleep 4; echo done > result")
    clients[0].run("true")
    workers = gateway.workers()

    started = time.monotonic()
    gateway.signal(number)

    for client in clients:
        with pytest.raises(Closed) as closed:
            client.receive(within_s=5)
        assert closed.value.code == 1001
    assert time.monotonic() - started < 1
    assert gateway.wait_stopped(within_s=12) == 0
    assert gateway.log().count("Worker exiting") == 2
    assert "Exception ignored" not in gateway.log()
    assert "Traceback" not in gateway.log()
    eventually(lambda: not any(worker.is_running() for worker in workers))
    gateway.start_ready()
    with connect(gateway, sandbox_id) as client:
        eventually(lambda: client.run("cat result")["output"] == "done\n")


def test_stop_is_quick_without_clients(own_gateway: MakeGateway) -> None:
    """Nothing to wait for: a restart must not cost ten seconds."""
    gateway = own_gateway().start_ready()
    gateway.create()

    started = time.monotonic()
    gateway.signal(signal.SIGTERM)
    gateway.wait_stopped()

    assert time.monotonic() - started < 4


def test_stop_is_quick_while_a_client_does_not_answer(own_gateway: MakeGateway) -> None:
    """A client that reads nothing and closes nothing holds the stop up for the grace at most."""
    gateway = own_gateway().start_ready()
    connect(gateway, gateway.create())

    started = time.monotonic()
    gateway.signal(signal.SIGTERM)
    assert gateway.wait_stopped() == 0

    assert time.monotonic() - started < 12


@pytest.mark.parametrize("how", [{}, BY_COMMAND_LINE], ids=["forked", "command line"])
def test_a_graceful_restart_keeps_sandboxes(own_gateway: MakeGateway, how: dict[str, str]) -> None:
    """SIGHUP replaces the workers: clients are told, sandboxes stay. Stopped and started by
    either way, as all other tests start gateways by one."""
    gateway = own_gateway().start_ready(**how)
    sandbox_id = gateway.create()
    old = {worker.pid for worker in gateway.workers()}
    client = connect(gateway, sandbox_id)

    gateway.signal(signal.SIGHUP)

    with pytest.raises(Closed) as closed:
        client.receive(within_s=10)
    assert closed.value.code == 1001
    # An old one may still take a connection, and close it.
    eventually(lambda: len({w.pid for w in gateway.workers()} - old) == 2, within_s=15)
    eventually(lambda: not {w.pid for w in gateway.workers()} & old, within_s=15)
    assert gateway.listed() == {sandbox_id}
    eventually(lambda: gateway.status_of(sandbox_id) == "idle")
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("echo here") == "here\n"
    gateway.signal(signal.SIGTERM)
    assert gateway.wait_stopped() == 0
    assert "Exception ignored" not in gateway.log()
    assert "Traceback" not in gateway.log()
    gateway.start_ready(**how)
    assert gateway.listed() == {sandbox_id}


def test_the_database_of_a_running_gateway_may_be_locked_for_a_while(
    own_gateway: MakeGateway,
) -> None:
    """A backup tool holds the write lock: calls wait and succeed, and nobody else is held up."""
    gateway = own_gateway().start_ready()
    sandbox_id = gateway.create()
    locker = sqlite3.connect(gateway.data_dir / "gateway.db", isolation_level=None)
    with connect(gateway, sandbox_id) as client:
        locker.execute("BEGIN IMMEDIATE")
        # Neither reading nor running commands writes to the store.
        assert client.output_of("echo running") == "running\n"
        assert gateway.status_of(sandbox_id) == "connected"
        with ThreadPoolExecutor(1) as pool:
            created = pool.submit(gateway.create)
            always(lambda: gateway.get("/healthz", timeout=1).status_code == 200, for_s=1)
            assert not created.done()
            locker.execute("ROLLBACK")
            assert created.result(timeout=10) in gateway.listed()
    locker.close()
