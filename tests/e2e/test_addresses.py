"""Where a gateway listens that is reached as `localhost`."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
import requests

from gateway.server.listen_addresses import listened_on
from tests.support.gateway_process import ROOT, GatewayProcess

WITHOUT_IPV6 = (
    "ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6 && exec {} -c "
    "'from gateway.server.listen_addresses import listened_on as on;"
    ' print(on("127.0.0.1"), on("localhost"), on("0.0.0.0"))\''
)


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]", "localhost"])
def test_localhost_is_answered_by_either_protocol(gateway: GatewayProcess, address: str) -> None:
    """`localhost` is 127.0.0.1 for some programs and ::1 for others; both are the gateway's own
    names, also as an origin."""
    url = f"http://{address}:{gateway.port}"
    answer = requests.get(f"{url}/sandboxes", headers={"Origin": url}, timeout=10)

    assert answer.status_code == 200, answer.text


def test_a_websocket_opens_there_too(gateway: GatewayProcess, module_sandbox: str) -> None:
    """Up to the answer to the handshake."""
    with socket.create_connection(("::1", gateway.port), timeout=10) as client:
        client.sendall(
            f"GET /ws/{module_sandbox} HTTP/1.1\r\nHost: [::1]:{gateway.port}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        assert client.recv(64).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("host", "addresses"),
    [
        ("127.0.0.1", ["127.0.0.1", "::1"]),
        ("localhost", ["127.0.0.1", "::1"]),
        ("::1", ["::1", "127.0.0.1"]),
        ("0.0.0.0", ["0.0.0.0", "::1"]),
        ("::", ["::"]),
        ("192.0.2.1", ["192.0.2.1"]),
    ],
)
def test_the_other_loopback_address_is_added(host: str, addresses: list[str]) -> None:
    """The one that is asked for comes first; `::` takes both by itself."""
    assert listened_on(host) == addresses


def test_a_machine_without_ipv6_starts_all_the_same() -> None:
    """In a network namespace that has no such addresses."""
    words = ["unshare", "--net", "sh", "-c", WITHOUT_IPV6.format(sys.executable)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout == "['127.0.0.1'] ['127.0.0.1'] ['0.0.0.0']\n"
