"""Several hands reach for one sandbox at the same moment: one wins, and everybody is told so."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import Closed, Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import leak_oracle


@pytest.fixture(scope="session")
def shared_gateway(default_gateway: GatewayProcess) -> GatewayProcess:
    """With the usual network, whose addresses and filters are made and removed as well."""
    return default_gateway


@pytest.fixture
def settings_of_own_gateways() -> dict[str, str]:
    """Likewise."""
    return {}


def test_of_many_deletes_exactly_one_succeeds(gateway: GatewayProcess) -> None:
    """At once and over both workers: one 200, the others 404, never a 500."""
    with leak_oracle(gateway):
        for _ in range(5):
            sandbox_id = gateway.create()
            start = threading.Barrier(8)

            def delete(_: int, target: str = sandbox_id, gate: threading.Barrier = start) -> int:
                gate.wait()
                return gateway.delete(f"/sandboxes/{target}").status_code

            with ThreadPoolExecutor(8) as pool:
                statuses = sorted(pool.map(delete, range(8)))
            assert statuses == [200] + [404] * 7
            assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 404


def test_connects_that_race_with_a_delete_are_refused_or_ended(gateway: GatewayProcess) -> None:
    """404 before the upgrade, or 101 and then `ended` with 1001: never a connection that hangs."""
    for _ in range(8):
        sandbox_id = gateway.create()
        start = threading.Barrier(7)

        def use(_: int, target: str = sandbox_id, gate: threading.Barrier = start) -> object:
            gate.wait()
            try:
                client = connect(gateway, target)
            except Refused as refused:
                return refused.status
            messages, code = client.read_to_close(within_s=10)
            return messages[-1]["type"], code

        def delete(target: str = sandbox_id, gate: threading.Barrier = start) -> int:
            gate.wait()
            return gateway.delete(f"/sandboxes/{target}").status_code

        with ThreadPoolExecutor(7) as pool:
            users = [pool.submit(use, number) for number in range(6)]
            assert pool.submit(delete).result() == 200
            for user in users:
                assert user.result() in (404, ("ended", 1001))
    assert not gateway.engine.containers().keys() - gateway.listed()


def test_commands_that_race_with_a_delete_are_all_answered(gateway: GatewayProcess) -> None:
    """Sent before, during and after it: a result or a typed error for each, then the end."""
    for _ in range(4):
        sandbox_id = gateway.create()
        with connect(gateway, sandbox_id) as client:
            client.run("true")
            with ThreadPoolExecutor(1) as pool:
                deleting = pool.submit(gateway.delete, f"/sandboxes/{sandbox_id}")
                sent = 0
                while not deleting.done():
                    try:
                        client.ask("echo x", request_id=str(sent))
                    except OSError:
                        break
                    sent += 1
                    time.sleep(0.005)
            messages, code = client.read_to_close(within_s=10)

        assert messages[-1] == {"type": "ended", "reason": "deleted"}
        assert code == 1001
        for message in messages[:-1]:
            assert message.get("output") == "x\n" or message.get("type") == "error", message
        answered = [message["request_id"] for message in messages[:-1]]
        assert len(answered) == len(set(answered))


def test_cleanup_never_takes_a_sandbox_that_somebody_uses(own_gateway) -> None:
    """A hundred connects right at the deadline of the idle time: each is refused with 404, or
    connected and usable for as long as it stays. Never a 101 followed by a removal."""
    gateway: GatewayProcess = own_gateway(idle_timeout="1").start_ready()

    def attempts(first: int) -> list[str]:
        outcomes = []
        sandbox_id = gateway.create()
        for number in range(first, 104, 8):
            if number % 3:
                time.sleep(0.95 + 0.4 * number / 104)
            else:
                # At the very moment when its removal is on its way, as far as can be seen.
                eventually(lambda i=sandbox_id: f"{i} has been idle" in gateway.log())
            outcomes.append(_visit(gateway, sandbox_id))
            if outcomes[-1] != "connected":
                eventually(lambda i=sandbox_id: i not in gateway.engine.containers())
                sandbox_id = gateway.create()
        return outcomes

    with ThreadPoolExecutor(8) as pool:
        outcomes = [outcome for some in pool.map(attempts, range(8)) for outcome in some]

    # Both have happened: the deadline was hit.
    assert set(outcomes) == {"refused with 404", "connected"}
    assert len(outcomes) == 104
    eventually(lambda: not gateway.engine.containers(), within_s=15)
    assert gateway.listed() == set()


def _visit(gateway: GatewayProcess, sandbox_id: str) -> str:
    """Connect and stay for longer than a removal that has begun would take."""
    try:
        client = connect(gateway, sandbox_id)
    except Refused as refused:
        return f"refused with {refused.status}"
    try:
        for pause in (0, 0.2, 0.4):
            time.sleep(pause)
            assert client.output_of("echo usable") == "usable\n"
    except Closed as closed:
        raise AssertionError(f"connected, and then {closed}") from closed
    finally:
        client.close()
    return "connected"


def test_a_sandbox_that_is_used_again_and_again_stays(own_gateway) -> None:
    """Short visits with pauses below the idle time, for several times its length."""
    gateway: GatewayProcess = own_gateway(idle_timeout="1").start_ready()
    sandbox_id = gateway.create()

    for number in range(8):
        with connect(gateway, sandbox_id) as client:
            client.run(f"echo {number} >> visits")
        time.sleep(0.6)

    with connect(gateway, sandbox_id) as client:
        assert client.output_of("wc -l < visits") == "8\n"
