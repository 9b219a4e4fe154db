"""Clients that stop reading, fall silent, reset, or come and go all the time."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import LIBRARIES, connect
from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import leak_oracle
from tests.support.raw_websocket import PING, PONG, TEXT, RawWebSocket

MIB = 1024 * 1024


@pytest.fixture(scope="module", autouse=True)
def slow_bodies(shared_gateway: GatewayProcess) -> Iterator[list[socket.socket]]:
    """Clients that have announced a body and send no more than its first byte."""
    clients = []
    for _ in range(4):
        client = socket.create_connection(("127.0.0.1", shared_gateway.port), timeout=30)
        client.sendall(
            b"POST /sandboxes HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        clients.append(client)
    yield clients
    for client in clients:
        client.close()


def _request(command: str) -> bytes:
    return json.dumps({"command": command}).encode()


@pytest.mark.parametrize("octal", ["170", "000"], ids=["x", "NUL"])
def test_a_client_that_stops_reading_harms_nobody_else(
    gateway: GatewayProcess, sandbox: str, octal: str
) -> None:
    """Large results wait for it; other clients of the same sandbox and worker go on, and memory
    stays bounded. A NUL takes six bytes in JSON."""
    worker = gateway.workers()[0]
    with gateway.only(worker):
        other = connect(gateway, sandbox)
        stuck = RawWebSocket(gateway, sandbox, receive_buffer=4096)
    other.run("true")
    before = gateway.memory()
    for _ in range(40):
        stuck.send(TEXT, _request(f"head -c 8000000 /dev/zero | tr '\\000' '\\{octal}'"))

    started = time.monotonic()
    peak = 0
    while time.monotonic() - started < 6:
        assert other.run("echo quick", within_s=5)["output"] == "quick\n"
        peak = max(peak, gateway.memory())

    # Of the 320 MB that were asked for, a worker holds 128 MiB at a time, as bytes and as JSON.
    assert peak - before < 320 * MIB, f"grew by {(peak - before) / MIB:.0f} MiB"
    stuck.reset()
    other.close()
    eventually(lambda: gateway.status_of(sandbox) == "idle", within_s=20)


def test_results_that_nobody_takes_do_not_block_results_of_others(
    gateway: GatewayProcess,
) -> None:
    """Many stuck readers, each with the largest result, use up what a worker may hold: a slow
    reader slows only its own command, so others must get their large results all the same."""
    worker = gateway.workers()[0]
    sandboxes = [gateway.create() for _ in range(3)]
    with gateway.only(worker):
        other = connect(gateway, sandboxes[0], "websockets")
        stuck = [
            RawWebSocket(gateway, sandbox_id, receive_buffer=4096)
            for sandbox_id in sandboxes[1:]
            for _ in range(10)
        ]
    other.run("true")
    for raw in stuck:
        for _ in range(2):
            raw.send(TEXT, _request("head -c 8000000 /dev/zero | tr '\\0' x"))

    result = other.run("sleep 3; head -c 8000000 /dev/zero | tr '\\0' y", within_s=20)

    assert len(result["output"]) == 8_000_000
    for raw in stuck:
        raw.reset()
    for sandbox_id in sandboxes:
        gateway.delete(f"/sandboxes/{sandbox_id}")


@pytest.fixture(scope="module")
def pinging_gateway(tmp_path_factory: pytest.TempPathFactory):
    """A gateway that pings its clients every second."""
    gateway = GatewayProcess(tmp_path_factory.mktemp("pinging"), ping_interval="1", network="none")
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


def test_a_half_open_peer_is_gone_within_two_ping_intervals(
    pinging_gateway: GatewayProcess,
) -> None:
    """It keeps the connection and never answers a ping, as a machine does that lost its network:
    it is dropped, and the sandbox is idle."""
    gateway = pinging_gateway
    sandbox_id = gateway.create()
    with leak_oracle(gateway):
        raw = RawWebSocket(gateway, sandbox_id)
        connected = time.monotonic()
        raw.send(TEXT, _request("true"))
        assert gateway.status_of(sandbox_id) == "connected"

        eventually(lambda: gateway.status_of(sandbox_id) == "idle", within_s=6)

        assert 1.5 < time.monotonic() - connected < 4
        opcodes = []
        try:
            while (received := raw.receive(within_s=2)) is not None:
                opcodes.append(received[0])
        except ConnectionResetError:
            pass
        assert PING in opcodes
        raw.close()
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_a_quiet_client_that_answers_pings_stays(pinging_gateway: GatewayProcess) -> None:
    """Silence is not absence: for several intervals, by both libraries and by hand."""
    gateway = pinging_gateway
    sandbox_id = gateway.create()
    raw = RawWebSocket(gateway, sandbox_id)
    client = connect(gateway, sandbox_id, "websockets")
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            received = raw.receive(within_s=0.5)
        except TimeoutError:
            continue
        assert received is not None
        opcode, payload = received
        assert opcode == PING
        raw.send(PONG, payload)

    raw.send(TEXT, _request("echo still here"))
    while (received := raw.receive())[0] == PING:
        raw.send(PONG, received[1])
    assert json.loads(received[1])["output"] == "still here\n"
    assert client.output_of("echo me too") == "me too\n"
    raw.close()
    client.close()
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_a_client_that_takes_a_large_result_slowly_is_not_dropped(
    pinging_gateway: GatewayProcess,
) -> None:
    """It cannot answer pings that wait behind eight megabytes; reading is a sign of life too. Those
    that come before the result it answers: on a busy machine the result may take its time."""
    gateway = pinging_gateway
    sandbox_id = gateway.create()
    with RawWebSocket(gateway, sandbox_id, receive_buffer=65536) as raw:
        raw.send(TEXT, _request("head -c 8000000 /dev/zero | tr '\\0' x"))
        raw.socket.settimeout(30)
        while (taken := raw.socket.recv(2)) == bytes([0x80 | PING, 0]):
            raw.send(PONG)
        while len(taken) < 8_000_000:
            piece = raw.socket.recv(200_000)
            assert piece, f"dropped after {len(taken)} bytes"
            taken += piece
            time.sleep(0.06)
        assert gateway.status_of(sandbox_id) == "connected"
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_who_answered_while_the_gateway_had_no_processor_stays(
    pinging_gateway: GatewayProcess,
) -> None:
    """The answer waits to be read when it is looked who was silent for two intervals. Before there
    was no ping, nobody can have been silent."""
    gateway = pinging_gateway
    sandbox_id = gateway.create()
    workers = gateway.workers()
    clients = [connect(gateway, sandbox_id, "websockets") for _ in range(8)]
    for client in clients:
        client.run("true")
    try:
        for worker in workers:
            worker.suspend()
        paused = time.monotonic()
        eventually(lambda: time.monotonic() - paused > 2.5)
    finally:
        for worker in workers:
            worker.resume()
    for client in clients:
        assert client.output_of("echo still here") == "still here\n"
        client.close()
    gateway.delete(f"/sandboxes/{sandbox_id}")


def test_a_reset_keeps_the_command_and_frees_the_rest(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """RST instead of close, in mid-command: as if the client had closed properly."""
    raw = RawWebSocket(gateway, sandbox)
    raw.send(TEXT, _request("true"))
    raw.receive()
    raw.send(TEXT, _request("sleep 1.5; echo done > result"))
    raw.send(TEXT, _request("true"))
    raw.receive()
    raw.reset()

    always(lambda: gateway.status_of(sandbox) == "connected", for_s=0.7)
    eventually(lambda: gateway.status_of(sandbox) == "idle")
    with connect(gateway, sandbox) as client:
        assert client.output_of("cat result") == "done\n"


def test_a_client_that_goes_before_the_answer_of_its_handshake(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """Disconnect between accept and first frame: the lease that was taken for it is given back."""
    request = (
        f"GET /ws/{sandbox} HTTP/1.1\r\nHost: localhost\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ).encode()
    with leak_oracle(gateway):
        for cut in (len(request), len(request), 40, 1, 0) * 8:
            client = socket.create_connection(("127.0.0.1", gateway.port))
            client.sendall(request[:cut])
            client.close()
        eventually(lambda: gateway.status_of(sandbox) == "idle")


def test_a_half_closed_client_is_let_go(gateway: GatewayProcess, sandbox: str) -> None:
    """It has shut down its sending side (FIN) and only reads: by RFC 6455 that is the end."""
    with RawWebSocket(gateway, sandbox) as raw:
        raw.send(TEXT, _request("true"))
        raw.receive()
        raw.socket.shutdown(socket.SHUT_WR)

        assert raw.close_code(within_s=5) in (None, 1000, 1006, 1011)
        eventually(lambda: gateway.status_of(sandbox) == "idle")


@pytest.mark.parametrize("library", LIBRARIES)
def test_three_hundred_connects_and_disconnects_leave_nothing(
    gateway: GatewayProcess, sandbox: str, library: str
) -> None:
    """By four clients at a time, half of them running a command: no descriptor, no link, no
    lease, no memory is left."""

    def come_and_go(number: int) -> None:
        client = connect(gateway, sandbox, library)
        if number % 2:
            assert client.output_of(f"echo {number}") == f"{number}\n"
        client.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(come_and_go, range(20)))
        eventually(lambda: gateway.status_of(sandbox) == "idle")
        with leak_oracle(gateway):
            list(pool.map(come_and_go, range(300)))
            eventually(lambda: gateway.status_of(sandbox) == "idle")


def test_twenty_lives_of_sandboxes_leave_nothing(gateway: GatewayProcess) -> None:
    """Created, used, deleted while connected: links, shims, mounts, interfaces, descriptors."""

    def live(number: int) -> None:
        sandbox_id = gateway.create()
        client = connect(gateway, sandbox_id)
        client.run("true")
        client.ask("sleep 100")
        if number % 2:
            client.close()
        assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
        if not number % 2:
            messages, code = client.read_to_close(within_s=10)
            assert (messages[-1]["type"], code) == ("ended", 1001)
            client.close()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(live, range(6)))
        with leak_oracle(gateway):
            list(pool.map(live, range(20)))


def test_hundreds_of_idle_connections_leave_room_for_rest(
    gateway: GatewayProcess, sandbox: str
) -> None:
    """Each costs a greenlet, not a thread: `/healthz` and a new client are served at once."""
    idle = [RawWebSocket(gateway, sandbox) for _ in range(600)]
    try:
        started = time.monotonic()
        assert gateway.get("/healthz", timeout=5).status_code == 200
        with connect(gateway, sandbox) as client:
            assert client.output_of("echo room") == "room\n"
        assert time.monotonic() - started < 3
    finally:
        for raw in idle:
            raw.close()
    eventually(lambda: gateway.status_of(sandbox) == "idle", within_s=20)


def test_a_body_that_never_comes_is_given_up(
    gateway: GatewayProcess, slow_bodies: list[socket.socket]
) -> None:
    """408 in bounded time. All tests of this module were served meanwhile."""
    for slow in slow_bodies:
        answer = slow.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 "), answer
        assert b"application/problem+json" in answer
