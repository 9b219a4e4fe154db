"""The whole gateway is killed: sandboxes, their commands and the clean-up survive it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

from tests.support.clients import connect
from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess


def test_a_command_and_its_sandbox_survive_a_killed_gateway(own_gateway) -> None:
    """`kill -9` of master and workers in mid-command: after the restart the sandbox is listed and
    works, the command has run to its end, once, and the sandbox is cleaned up when it is idle and
    not a moment before its command has ended."""
    gateway: GatewayProcess = own_gateway(idle_timeout="3").start_ready()
    sandbox_id = gateway.create()
    container_id = gateway.engine.container_of(sandbox_id)
    client = connect(gateway, sandbox_id)
    client.run("true")
    started = time.monotonic()
    client.ask("echo x >> begun; sleep 15; echo done > /home/user/done")
    client.run("true")

    gateway.kill()
    gateway.start_ready()

    assert gateway.listed() == {sandbox_id}
    assert gateway.engine.container_of(sandbox_id) == container_id
    # Idle time is over by now, but the command still runs.
    always(lambda: gateway.status_of(sandbox_id) == "connected", for_s=1)
    assert time.monotonic() - started < 15
    with connect(gateway, sandbox_id) as other:
        eventually(lambda: other.run("cat done")["output"] == "done\n", within_s=20)
        assert time.monotonic() - started >= 15
        assert other.output_of("cat begun; pgrep -fc 'sleep [1]5' || true") == "x\n0\n"
    eventually(lambda: gateway.status_of(sandbox_id) == "404", within_s=10)
    eventually(lambda: not gateway.engine.containers())


def test_nobody_connects_after_the_kill_and_it_is_still_cleaned_up_in_time(own_gateway) -> None:
    """The restarted gateway watches the command by itself: neither removed before its end, nor
    kept for ever after it."""
    gateway: GatewayProcess = own_gateway(idle_timeout="1").start_ready()
    sandbox_id = gateway.create()
    client = connect(gateway, sandbox_id)
    client.run("true")
    started = time.monotonic()
    client.ask("sleep 6")
    client.run("true")

    gateway.kill()
    gateway.start_ready()

    eventually(lambda: gateway.status_of(sandbox_id) == "404", within_s=20)
    assert time.monotonic() - started > 6
    eventually(lambda: not gateway.engine.containers())


def test_a_quiet_gateway_that_was_killed_still_knows_what_is_idle(own_gateway) -> None:
    """Killed with clients connected and nothing running: their leases die with them."""
    gateway: GatewayProcess = own_gateway(idle_timeout="15").start_ready()
    kept, left = gateway.create(), gateway.create()
    client = connect(gateway, kept)
    client.run("echo hello > file")

    gateway.kill()
    gateway.start_ready()

    assert gateway.listed() == {kept, left}
    with connect(gateway, kept) as again:
        assert again.output_of("cat file") == "hello\n"
        eventually(lambda: gateway.status_of(left) == "404", within_s=25)
        assert gateway.status_of(kept) == "connected"
    eventually(lambda: gateway.status_of(kept) == "404", within_s=25)


def test_fifty_running_commands_survive_a_killed_gateway(own_gateway) -> None:
    """Many at once, in two sandboxes and both workers: each ran once, each to its end."""
    gateway: GatewayProcess = own_gateway().start_ready()
    ids = [gateway.create() for _ in range(2)]
    for worker, sandbox_id in zip(gateway.workers(), ids, strict=True):
        with gateway.only(worker):
            client = connect(gateway, sandbox_id)
        for number in range(25):
            client.ask(f"echo {number} >> begun; sleep 2; echo {number} >> ended")
        eventually(lambda c=client: c.output_of("wc -l < begun") == "25\n")

    gateway.kill()
    gateway.start_ready()

    numbers = "".join(f"{number}\n" for number in range(25))
    for sandbox_id in ids:
        with connect(gateway, sandbox_id) as client:
            eventually(lambda c=client: c.output_of("sort -n ended") == numbers)
            assert client.output_of("sort -n begun") == numbers


def test_a_create_that_was_cut_off_leaves_nothing(own_gateway) -> None:
    """Killed while containers are being made: afterwards each is either a listed sandbox or
    gone."""
    gateway: GatewayProcess = own_gateway(idle_timeout="3600").start_ready()
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(gateway.create)
        eventually(lambda: gateway.engine.containers(), every_s=0.005)
        gateway.kill()

    gateway.start_ready()

    def consistent() -> bool:
        listed = {s["sandbox_id"]: s["status"] for s in gateway.get("/sandboxes").json()}
        return set(listed.values()) <= {"idle"} and set(listed) == set(gateway.engine.containers())

    eventually(consistent, within_s=20)
    for sandbox_id in gateway.listed():
        with connect(gateway, sandbox_id) as client:
            assert client.output_of("echo usable") == "usable\n"
