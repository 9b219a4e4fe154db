"""Answers that nobody reads, and messages that pile up: bounded, and at their owner's cost only."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest

from tests.support.clients import Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, INLINE, bearer
from tests.support.raw_websocket import TEXT, RawWebSocket, frame
from tests.support.rest_commands import finished, in_background
from tests.support.unread import MIB, asked, largest_worker

MOST = 300 * MIB
"""Bytes that one worker may have resident, whatever a tenant does."""

SIXTEEN_MB = "head -c 16000000 /dev/zero | tr '\\0'"
BOTH_STREAMS = f"{SIXTEEN_MB} x; {SIXTEEN_MB} y >&2"


@pytest.fixture(scope="module")
def tenants(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with one worker, asked in alice's name unless a test says otherwise."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("tenants"),
        network="none",
        api_keys=INLINE,
        workers="1",
        websockets_per_key="8",
    )
    gateway.headers = bearer(ALICE)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.fixture(scope="module")
def alices(tenants: GatewayProcess) -> str:
    return tenants.create()


@pytest.fixture(scope="module")
def bobs(tenants: GatewayProcess) -> str:
    answer = tenants.post("/sandboxes", headers=bearer(BOB))
    assert answer.status_code == 201, answer.text
    return answer.json()["sandbox_id"]


def _bob_is_served(gateway: GatewayProcess, sandbox_id: str) -> None:
    """A command of another tenant's, over both ways, with an answer that is not small."""
    answer = gateway.post(
        f"/sandboxes/{sandbox_id}/commands",
        headers=bearer(BOB),
        json={"command": "head -c 3000000 /dev/zero | tr '\\0' b"},
        timeout=20,
    )
    assert answer.status_code == 200, answer.text
    assert answer.json()["output"] == "b" * 3_000_000


LEVEL_S = 2.5
"""A worker that has not grown for so long has taken what it takes."""


def _peak(gateway: GatewayProcess, *, at_most_s: float) -> int:
    """The most that a worker has until it is level, or for so long."""
    peak = 0
    now = grown_at = begun = time.monotonic()
    while now < min(begun + at_most_s, grown_at + LEVEL_S):
        size = largest_worker(gateway)
        if size > peak + MIB:
            grown_at = now
        peak = max(peak, size)
        time.sleep(0.05)
        now = time.monotonic()
    return peak


def test_results_that_nobody_reads(tenants: GatewayProcess, alices: str, bobs: str) -> None:
    """Twelve of 32 MB held 795 MB, for a minute."""
    address = f"/sandboxes/{alices}/commands"
    body = {"command": BOTH_STREAMS, "max_output_bytes": 16 * MIB}
    with asked(tenants, 12, "POST", address, body):
        peak = _peak(tenants, at_most_s=12)
        _bob_is_served(tenants, bobs)
        peak = max(peak, _peak(tenants, at_most_s=1))

    print(f"peak {peak / MIB:.0f} MiB")
    assert peak < MOST


def test_messages_that_wait(tenants: GatewayProcess, alices: str, bobs: str) -> None:
    """Three hundred commands with 1 MB of stdin each cost 283 MB."""
    message = frame(TEXT, json.dumps({"command": "sleep 20", "stdin": "x" * 1_000_000}).encode())
    with RawWebSocket(tenants, alices) as raw:
        raw.socket.settimeout(3)
        sent, peak = 0, 0
        try:
            for _ in range(300):
                raw.socket.sendall(message)
                sent += 1
                peak = max(peak, largest_worker(tenants))
        except TimeoutError:
            pass
        peak = max(peak, _peak(tenants, at_most_s=2))
        _bob_is_served(tenants, bobs)
        print(f"sent {sent}, peak {peak / MIB:.0f} MiB")
        raw.reset()
    assert peak < MOST


@pytest.fixture(scope="module")
def written(tenants: GatewayProcess, alices: str) -> str:
    """The address of a command of alice's that has written 16 MB to each stream."""
    address = in_background(tenants, alices, BOTH_STREAMS, "written")
    eventually(lambda: finished(tenants, address + "?max_output_bytes=0"), within_s=60)
    return address


@pytest.mark.parametrize(
    ("times", "query", "accept"),
    [
        (150, "/output?limit=1048576", "*/*"),
        (40, "/output", "text/event-stream"),
        (12, "", "*/*"),
    ],
    ids=["pieces", "events", "results"],
)
def test_output_that_nobody_reads(
    tenants: GatewayProcess,
    written: str,
    bobs: str,
    times: int,
    query: str,
    accept: str,
) -> None:
    """Pieces were held besides the limit on results, and so was what streams had under way."""
    with asked(tenants, times, "GET", written + query, Accept=accept):
        peak = _peak(tenants, at_most_s=4)
        _bob_is_served(tenants, bobs)

    print(f"peak {peak / MIB:.0f} MiB")
    assert peak < MOST


def test_what_finds_no_room_is_told_so(tenants: GatewayProcess, written: str) -> None:
    """In the form that clients know, with when to come again."""
    with asked(tenants, 60, "GET", written + "/output?limit=1048576") as clients:

        def refused() -> bytes:
            answer = tenants.get(written + "/output?limit=1048576")
            assert answer.status_code == 429, answer.status_code
            assert int(answer.headers["Retry-After"]) > 0
            return answer.json()["code"]

        assert eventually(refused, within_s=20) == "too_much_unread"
        assert len(clients) == 60
    eventually(lambda: tenants.get(written + "/output?limit=1048576").ok, within_s=20)


def test_one_key_has_only_so_many_websockets(
    tenants: GatewayProcess, alices: str, bobs: str
) -> None:
    """Refused before the upgrade; another's are not counted, and closed ones no more."""
    # Of alice's an earlier test's may still hand commands over, and what it sent still counts.
    opened = [connect(tenants, bobs, header=bearer(BOB)) for _ in range(8)]

    with pytest.raises(Refused) as refused:
        connect(tenants, bobs, header=bearer(BOB))

    assert refused.value.status == 429
    assert json.loads(refused.value.body)["code"] == "too_many_connections"
    with connect(tenants, alices) as alice:
        alice.send({"type": "ping"})
        assert alice.receive()["type"] == "pong"
    for connection in opened:
        connection.close()

    def served_again() -> bool:
        try:
            with connect(tenants, bobs, header=bearer(BOB)) as bob:
                return bob.output_of("echo again") == "again\n"
        except Refused:
            return False  # the gateway has not seen the end of the others yet

    assert eventually(served_again)
