"""Before the 101: what must be refused is refused over HTTP, with a problem document."""

from __future__ import annotations

import socket

import pytest

from tests.support.clients import LIBRARIES, Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import check_problem, problem_of

UNKNOWN_ID = "0" * 32

HANDSHAKE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("sandbox_id", [UNKNOWN_ID, "UPPER", "%2e%2e", "a%00b", "a" * 1_000])
def test_an_unknown_sandbox_is_404_before_the_upgrade(
    gateway: GatewayProcess, library: str, sandbox_id: str
) -> None:
    """After a 101 there is no way to say 404 that a client library would understand."""
    with pytest.raises(Refused) as refused:
        connect(gateway, sandbox_id, library)

    assert refused.value.status == 404
    problem = check_problem(refused.value.headers["content-type"], refused.value.body, 404)
    assert problem["code"] == "sandbox_not_found"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_deleted_sandbox_is_404_before_the_upgrade(gateway: GatewayProcess, library: str) -> None:
    """In both workers, at once after the delete was answered."""
    sandbox_id = gateway.create()
    gateway.delete(f"/sandboxes/{sandbox_id}")

    for _ in range(6):
        with pytest.raises(Refused) as refused:
            connect(gateway, sandbox_id, library)
        assert refused.value.status == 404


def test_plain_get_says_that_a_websocket_is_expected(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """People open the address in a browser first: RFC 9110, 15.5.22, with what to upgrade to."""
    answer = gateway.get(f"/ws/{module_sandbox}")

    problem = problem_of(answer, 426)
    assert problem["code"] == "upgrade_required"
    assert answer.headers["Upgrade"].lower() == "websocket"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_other_methods_on_a_socket_address_are_problems(
    gateway: GatewayProcess, module_sandbox: str, method: str
) -> None:
    """Whatever is sent there, the answer is a problem document."""
    answer = gateway.request(method, f"/ws/{module_sandbox}")

    assert 400 <= answer.status_code < 500
    problem_of(answer, answer.status_code)


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Sec-WebSocket-Version": None}, 426),
        ({"Sec-WebSocket-Version": "8"}, 426),
        ({"Sec-WebSocket-Version": "13, 8"}, 426),
        ({"Sec-WebSocket-Key": None}, 400),
        ({"Sec-WebSocket-Key": ""}, 400),
    ],
)
def test_a_broken_handshake_is_refused_and_leaves_the_sandbox_idle(
    gateway: GatewayProcess, module_sandbox: str, changed: dict[str, str | None], status: int
) -> None:
    """A lease taken for a handshake that fails would keep the sandbox alive for ever."""
    headers = {name: value for name, value in (HANDSHAKE | changed).items() if value is not None}

    answer = gateway.get(f"/ws/{module_sandbox}", headers=headers)

    problem_of(answer, status)
    eventually(lambda: gateway.status_of(module_sandbox) == "idle")


def test_a_malformed_handshake_key_leaves_the_sandbox_idle(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """The WebSocket library itself fails on it, after the guard has taken a lease."""
    request = "".join(
        f"{name}: {value}\r\n" for name, value in (HANDSHAKE | {"Sec-WebSocket-Key": "x"}).items()
    )
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as raw:
            raw.sendall(
                f"GET /ws/{module_sandbox} HTTP/1.1\r\nHost: localhost\r\n{request}\r\n".encode()
            )
            answer = raw.recv(4096)
        assert answer.startswith((b"HTTP/1.1 101", b"HTTP/1.1 400")), answer
        assert b"<html" not in answer.lower()

    eventually(lambda: gateway.status_of(module_sandbox) == "idle")


def test_compression_is_not_negotiated(gateway: GatewayProcess, module_sandbox: str) -> None:
    """permessage-deflate costs 300 KB per connection and opens the door for deflate bombs."""
    with connect(gateway, module_sandbox, "websockets", compression="deflate") as client:
        assert "Sec-WebSocket-Extensions" not in client.client.socket.response.headers
        assert client.output_of("echo works") == "works\n"


def test_a_socket_on_a_rest_address_is_refused(gateway: GatewayProcess) -> None:
    """An upgrade where there is none to have: a problem, not half a WebSocket."""
    answer = gateway.get("/sandboxes", headers=HANDSHAKE)

    assert 400 <= answer.status_code < 500
    problem_of(answer, answer.status_code)
