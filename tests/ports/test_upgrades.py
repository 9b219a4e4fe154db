"""WebSockets, and whatever else follows an Upgrade, to servers in sandboxes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice

import pytest
import websocket

from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.plain_http import answer_of, opened
from tests.support.port_servers import by_path, start_odd_server


@contextmanager
def connected(
    gateway: GatewayProcess, path: str, **options: object
) -> Iterator[websocket.WebSocket]:
    url = f"ws://127.0.0.1:{gateway.port}{path}"
    client = websocket.create_connection(url, timeout=10, **options)
    try:
        yield client
    finally:
        client.close()
        client.shutdown()


def test_messages_pass_both_ways(gateway: GatewayProcess, odd: str) -> None:
    with connected(gateway, by_path(odd, "ws")) as client:
        for number in range(50):
            client.send(f"message {number}")
            assert client.recv() == f"message {number}"


def test_a_closed_connection_is_closed_on_both_sides(gateway: GatewayProcess, odd: str) -> None:
    """The sandbox is not in use any more."""
    with connected(gateway, by_path(odd, "ws")) as client:
        client.send("x")
        assert client.recv() == "x"
        assert gateway.status_of(odd) == "connected"
        client.send_close()
        assert client.recv_data_frame(control_frame=True)[0] == websocket.ABNF.OPCODE_CLOSE
    eventually(lambda: open_websockets(gateway, odd) == 0)


def open_websockets(gateway: GatewayProcess, odd: str) -> int:
    listed = gateway.post(
        f"/sandboxes/{odd}/commands",
        json={"command": "grep -c ':1F40 .* 01 ' /proc/net/tcp || true"},
    )
    return int(listed.json()["output"])


def test_a_client_that_vanishes_ends_the_connection_inside(
    gateway: GatewayProcess, odd: str
) -> None:
    """Else every reload of a page would leave one behind."""
    with opened(gateway) as client:
        client.sendall(handshake(odd))
        assert client.recv(1000).startswith(b"HTTP/1.1 101 ")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    eventually(lambda: open_websockets(gateway, odd) == 0)


def handshake(sandbox_id: str, *more: str, path: str = "ws") -> bytes:
    lines = [
        f"GET {by_path(sandbox_id, path)} HTTP/1.1",
        "Host: localhost",
        "Connection: keep-alive, Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *more,
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_bytes_behind_the_handshake_are_not_lost(gateway: GatewayProcess, odd: str) -> None:
    """A client need not wait for the answer before it sends."""
    with opened(gateway) as client:
        client.sendall(handshake(odd) + b"\x81\x82\0\0\0\0hi")
        received = b""
        while not received.endswith(b"\x81\x02hi"):
            piece = client.recv(1000)
            assert piece, received
            received += piece


@pytest.mark.parametrize(
    ("offered", "passed", "selected"),
    [
        ("bearer.sgt_abc", "None", "bearer.sgt_abc"),
        ("bearer.sgt_abc, chat", "chat", "chat"),
        ("chat, bearer.x", "chat", "chat"),
        ("chat", "chat", "chat"),
    ],
)
def test_the_subprotocol_with_a_token_stays_with_the_gateway(
    gateway: GatewayProcess, odd: str, offered: str, passed: str, selected: str
) -> None:
    """The server never sees it; a browser needs one that is selected (RFC 6455, section 4.2.2)."""
    with opened(gateway) as client:
        client.sendall(handshake(odd, f"Sec-WebSocket-Protocol: {offered}", "Authorization: x"))
        answer = answer_of(client.recv(2000))

    assert answer.status == 101
    assert answer.headers["x-offered"] == passed
    assert answer.headers["x-authorization"] == "None"
    assert answer.headers["sec-websocket-protocol"] == selected


def test_a_server_that_refuses_answers_as_ever(gateway: GatewayProcess, odd: str) -> None:
    """An Upgrade is an offer: the answer may be any."""
    with opened(gateway) as client:
        client.sendall(handshake(odd, path="connections"))
        answer = answer_of(client.recv(2000))

    assert answer.status == 200
    assert int(answer.body) >= 1


def test_an_open_connection_does_not_keep_a_gateway_that_stops(own_gateway) -> None:
    """It ends soon, not when the time for it is over, and a WebSocket with its close frame."""
    gateway = own_gateway(workers="1").start_ready()
    sandbox_id = gateway.create()
    start_odd_server(gateway, sandbox_id)
    with connected(gateway, by_path(sandbox_id, "ws")) as client:
        client.send("x")
        assert client.recv() == "x"
        gateway.signal(15)
        opcode, frame = client.recv_data_frame(control_frame=True)
        assert (opcode, frame.data) == (websocket.ABNF.OPCODE_CLOSE, (1001).to_bytes(2, "big"))
        assert gateway.wait_stopped(within_s=8) == 0


def test_a_revoked_token_closes_with_a_code(keyed: GatewayProcess, alices: str) -> None:
    """As the gateway's own WebSockets; and the server hears of it by what the client answers."""
    token = keyed.post(f"/sandboxes/{alices}/token").json()["access_token"]
    header = [f"Authorization: Bearer {token}"]
    closed = int(keyed.get(by_path(alices, "closed")).text)
    with connected(keyed, by_path(alices, "ws"), header=header) as client:
        client.send("x")
        assert client.recv() == "x"
        assert keyed.delete(f"/sandboxes/{alices}/token").status_code in (200, 204)
        opcode, frame = client.recv_data_frame(control_frame=True)
        assert (opcode, frame.data) == (websocket.ABNF.OPCODE_CLOSE, (1008).to_bytes(2, "big"))
    # websocket-client always answers with 1000.
    assert keyed.get(by_path(alices, "closed")).text == str(closed + 1)


@pytest.mark.parametrize("way", ["direct", "by its agent"])
def test_a_message_resumes_a_paused_sandbox(request: pytest.FixtureRequest, way: str) -> None:
    """The connection stands through the pause. Who says nothing leaves it paused, for somebody has
    wanted that; who says something is answered, without connecting anew."""
    names = ("shared_gateway", "odd") if way == "direct" else ("keyed", "alices")
    gateway, sandbox_id = (request.getfixturevalue(name) for name in names)
    header = [f"{name}: {value}" for name, value in gateway.headers.items()]
    with connected(gateway, by_path(sandbox_id, "ws"), header=header) as client:
        for number in range(2):
            client.send(f"before {number}")
            assert client.recv() == f"before {number}"
            assert gateway.post(f"/sandboxes/{sandbox_id}/pause").status_code == 200
            always(lambda: gateway.status_of(sandbox_id) == "paused", for_s=2.5)
            client.send(f"after {number}")
            assert client.recv() == f"after {number}"
            assert gateway.status_of(sandbox_id) == "connected"


def test_an_answer_goes_on_when_its_sandbox_does(gateway: GatewayProcess, odd: str) -> None:
    """Who only reads does not resume it, and loses nothing."""
    with gateway.get(by_path(odd, "events"), stream=True) as answer:
        lines = answer.iter_lines()
        assert next(lines) == b"data: 0"
        assert gateway.post(f"/sandboxes/{odd}/pause").status_code == 200
        always(lambda: gateway.status_of(odd) == "paused", for_s=2.5)
        assert gateway.post(f"/sandboxes/{odd}/resume").status_code == 200
        numbers = [int(line[6:]) for line in islice(filter(None, lines), 20)]
    assert numbers == list(range(1, 21))
