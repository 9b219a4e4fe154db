"""`idle` and `connected`, over both workers, with clients and with commands that outlive them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import Connection, connect
from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.rest_commands import result_of


@pytest.fixture(scope="module")
def shared_gateway(offline_gateway: GatewayProcess) -> GatewayProcess:
    """Nothing here is about a network."""
    return offline_gateway


def _connect_to_each_worker(gateway: GatewayProcess, sandbox_id: str) -> list[Connection]:
    connections = []
    for worker in gateway.workers():
        with gateway.only(worker):
            connections.append(connect(gateway, sandbox_id))
    return connections


def test_status_follows_the_clients(gateway: GatewayProcess, sandbox: str) -> None:
    """idle, connected, idle: what existing clients poll. Asked often enough for both workers."""
    assert {gateway.status_of(sandbox) for _ in range(6)} == {"idle"}

    with connect(gateway, sandbox):
        assert {gateway.status_of(sandbox) for _ in range(6)} == {"connected"}
        [listed] = [s for s in gateway.get("/sandboxes").json() if s["sandbox_id"] == sandbox]
        assert listed["status"] == "connected"

    eventually(lambda: gateway.status_of(sandbox) == "idle")
    assert {gateway.status_of(sandbox) for _ in range(6)} == {"idle"}


def test_connected_in_any_worker_is_connected_in_all(gateway: GatewayProcess, sandbox: str) -> None:
    """A client sits in one worker, the question may reach the other."""
    for worker in gateway.workers():
        with gateway.only(worker):
            client = connect(gateway, sandbox)
        for asked in gateway.workers():
            with gateway.only(asked):
                assert gateway.status_of(sandbox) == "connected"
        client.close()
        eventually(lambda: gateway.status_of(sandbox) == "idle")


def test_the_last_client_to_leave_makes_it_idle(gateway: GatewayProcess, sandbox: str) -> None:
    """Clients are counted, over the workers; the first to leave does not decide."""
    first, second = _connect_to_each_worker(gateway, sandbox)

    first.close()
    always(lambda: gateway.status_of(sandbox) == "connected", for_s=1)
    second.close()

    eventually(lambda: gateway.status_of(sandbox) == "idle")


def test_each_worker_runs_commands_in_the_same_sandbox(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """Created in one worker, used in both: one machine, one agent."""
    first, second = _connect_to_each_worker(gateway, sandbox)

    first.run("echo from the first > shared")

    assert second.output_of("cat shared") == "from the first\n"
    assert len(gateway.engine.agents(sandbox)) == 1
    # One for each worker's link, or none where the gateway may use the network namespace.
    assert len(gateway.engine.carriers(sandbox)) in (0, 2)
    first.close()
    second.close()


def test_many_connections_in_a_row_leave_it_idle(gateway: GatewayProcess, sandbox: str) -> None:
    """Each connect and disconnect is counted once, whichever worker it reached."""
    for round_number in range(40):
        with connect(gateway, sandbox) as client:
            if round_number % 4 == 0:
                client.run("true")

    eventually(lambda: {gateway.status_of(sandbox) for _ in range(6)} == {"idle"})


def test_requests_leave_it_idle_at_once(gateway: GatewayProcess, sandbox: str) -> None:
    """Their lease stays a moment for the next request, of which nobody is told in any worker."""
    for worker in gateway.workers():
        with gateway.only(worker):
            assert result_of(gateway, sandbox, "true")["success"]
            assert gateway.get(f"/sandboxes/{sandbox}/files/list?path=.").status_code == 200
        for asked in gateway.workers():
            with gateway.only(asked):
                assert gateway.status_of(sandbox) == "idle"
    assert result_of(gateway, sandbox, "sleep 0.3")["success"]
    assert {gateway.status_of(sandbox) for _ in range(6)} == {"idle"}


def test_one_that_runs_over_rest_is_seen_in_every_worker(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """As long as it runs, and no longer."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(result_of, gateway, sandbox, "until test -e go; do sleep 0.05; done")
        eventually(lambda: gateway.status_of(sandbox) == "connected")
        for asked in gateway.workers():
            with gateway.only(asked):
                assert gateway.status_of(sandbox) == "connected"
        assert result_of(gateway, sandbox, "touch go")["success"]
        assert running.result()["success"]
    assert {gateway.status_of(sandbox) for _ in range(6)} == {"idle"}


def test_a_pause_between_two_requests_is_not_refused(gateway: GatewayProcess, sandbox: str) -> None:
    """Nobody uses it then; and the next request, in either worker, resumes it."""
    for worker in gateway.workers():
        with gateway.only(worker):
            assert gateway.get(f"/sandboxes/{sandbox}/files/list?path=.").status_code == 200
        assert gateway.post(f"/sandboxes/{sandbox}/pause").status_code == 200
        assert gateway.status_of(sandbox) == "paused"
        with gateway.only(worker):
            assert gateway.get(f"/sandboxes/{sandbox}/files/list?path=.").status_code == 200


def test_a_command_outlives_its_client(gateway: GatewayProcess, sandbox: str) -> None:
    """Closing the socket must not lose what runs: its effect appears, and only then is the
    sandbox idle."""
    client = connect(gateway, sandbox)
    client.ask("sleep 2; echo done > result")
    # The first answer says that the link stands and the sleep has been started before it.
    client.output_of("true")
    client.close()

    with connect(gateway, sandbox) as other:
        assert other.run("cat result")["returncode"] == 1
    always(lambda: gateway.status_of(sandbox) == "connected", for_s=1)
    eventually(lambda: gateway.status_of(sandbox) == "idle")
    with connect(gateway, sandbox) as other:
        assert other.output_of("cat result") == "done\n"


def test_commands_that_wait_for_their_turn_outlive_their_client(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """What was accepted is run, also when its client leaves at once: nothing is lost."""
    client = connect(gateway, sandbox)
    for number in range(20):
        client.ask(f"echo {number} >> accepted")
    client.output_of("true")
    client.close()

    with connect(gateway, sandbox) as other:
        eventually(lambda: other.output_of("sort -n accepted | wc -l") == "20\n")


def test_a_command_sent_right_before_closing_still_runs(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """Fire and forget: send, close. The request arrived before the close frame did, also when the
    link to the agent is still being made at that moment."""
    for attempt in range(5):
        with connect(gateway, sandbox) as client:
            if attempt % 2:
                client.run("true")
            client.ask(f"sleep 0.2; touch fired{attempt}")

    with connect(gateway, sandbox) as other:
        eventually(lambda: other.output_of("ls | grep -c fired || true") == "5\n", within_s=5)


def test_a_client_that_vanishes_leaves_an_idle_sandbox(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """No close frame, only the end of the connection: a killed client does just that."""
    client = connect(gateway, sandbox)
    client.run("true")
    client.client.socket.shutdown()

    eventually(lambda: gateway.status_of(sandbox) == "idle")


def test_closing_is_quick(gateway: GatewayProcess, sandbox: str) -> None:
    """A close is answered by a close frame at once, not after a time-out."""
    client = connect(gateway, sandbox)
    started = time.monotonic()
    client.client.socket.send_close(1000)
    messages, code = client.read_to_close()

    assert time.monotonic() - started < 1
    assert (messages, code) == ([], 1000)
