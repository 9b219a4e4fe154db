"""Servers in sandboxes at each isolation level: gVisor's has no network that the gateway enters."""

from __future__ import annotations

import hashlib

import pytest
import websocket

from tests.security.conftest import Place
from tests.support.eventually import eventually
from tests.support.port_servers import ODD, by_path, open_ports, start_odd_server
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of


def test_ports_work_at_each_level(place: Place) -> None:
    """Both ways, streamed, as a WebSocket, and what is not open says what is."""
    gateway, sandbox_id = place.gateway, place.sandbox_id
    start_odd_server(gateway, sandbox_id)
    try:
        data = bytes(range(256)) * 4000
        told = gateway.post(by_path(sandbox_id), data=data).json()
        assert told["sha256"] == hashlib.sha256(data).hexdigest()
        assert gateway.get(by_path(sandbox_id, f"big?{len(data)}")).content == data
        with gateway.get(by_path(sandbox_id, "events"), stream=True) as answer:
            assert next(answer.iter_lines()) == b"data: 0"
        url = f"ws://127.0.0.1:{gateway.port}{by_path(sandbox_id, 'ws')}"
        client = websocket.create_connection(url, timeout=10)
        client.send("hello")
        assert client.recv() == "hello"
        client.close()
        problem = problem_of(gateway.get(by_path(sandbox_id, port=9)), 502)
        assert (problem["code"], problem["listening"]) == ("port_closed", [ODD])
    finally:
        stop_server(place, ODD)


@pytest.mark.parametrize("address", ["::1", "::", "localhost"])
def test_a_server_is_reached_wherever_it_listens(place: Place, address: str) -> None:
    """Node.js listens on the first address that `localhost` has. Where a level has ::1, as gVisor
    has, that is reached too; elsewhere nothing can listen there."""
    gateway, sandbox_id = place.gateway, place.sandbox_id
    bind = "import socket; socket.socket(socket.AF_INET6).bind(('::1', 8006))"
    tried = result_of(gateway, sandbox_id, f'python3 -c "{bind}"')
    if address == "::1" and not tried["success"]:
        assert place.level != "gvisor"
        assert "Cannot assign requested address" in tried["error"]
        return
    start_odd_server(gateway, sandbox_id, port=8006, host=address)
    try:
        assert gateway.get(by_path(sandbox_id, "x", port=8006)).status_code == 200
        [shown] = open_ports(gateway, sandbox_id)[8006]["addresses"]
        assert shown == address or address == "localhost"
    finally:
        stop_server(place, 8006)


def stop_server(place: Place, port: int) -> None:
    address = f"/sandboxes/{place.sandbox_id}/commands/server-{port}/signal"
    place.gateway.post(address, json={"signal": "KILL"})
    eventually(lambda: port not in open_ports(place.gateway, place.sandbox_id))
