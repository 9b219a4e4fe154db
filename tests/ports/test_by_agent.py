"""Servers in sandboxes through their agents, where the gateway cannot enter their networks."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
import websocket

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE
from tests.support.plain_http import answer_of, opened
from tests.support.port_servers import by_path, open_ports
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of


@pytest.mark.parametrize("size", [1, 300_000, 10_000_000])
def test_bodies_pass_both_ways(keyed: GatewayProcess, alices: str, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]

    told = keyed.post(by_path(alices), data=data).json()
    answer = keyed.get(by_path(alices, f"big?{size}"))

    assert (told["size"], told["sha256"]) == (size, hashlib.sha256(data).hexdigest())
    assert hashlib.sha256(answer.content).digest() == hashlib.sha256(data).digest()


def test_an_upgrade_passes(keyed: GatewayProcess, alices: str) -> None:
    url = f"ws://127.0.0.1:{keyed.port}{by_path(alices, 'ws')}"
    client = websocket.create_connection(url, timeout=10, header=[f"X-API-Key: {ALICE}"])
    try:
        for number in range(20):
            client.send(f"message {number}")
            assert client.recv() == f"message {number}"
    finally:
        client.close()
        client.shutdown()


def test_a_slow_reader_slows_no_other(keyed: GatewayProcess, alices: str) -> None:
    """All connections share one link: who does not read stops its own channel only."""
    with opened(keyed) as stuck:
        stuck.sendall(
            f"GET {by_path(alices, 'big?200000000')} HTTP/1.1\r\nHost: localhost\r\n"
            f"X-API-Key: {ALICE}\r\n\r\n".encode()
        )
        assert stuck.recv(100).startswith(b"HTTP/1.1 200")
        for _ in range(5):
            assert keyed.get(by_path(alices, "big?100000"), timeout=5).status_code == 200
        assert result_of(keyed, alices, "echo still here")["output"] == "still here\n"


def test_a_closed_port_says_what_is_open(keyed: GatewayProcess, alices: str) -> None:
    problem = problem_of(keyed.get(by_path(alices, port=9)), 502)

    assert (problem["code"], problem["listening"]) == ("port_closed", [8000, 8001])
    assert set(open_ports(keyed, alices)) == {8000, 8001}


@pytest.mark.parametrize("path", ["hang-up", "no-http", "two-lengths"])
def test_what_is_no_http_is_a_bad_gateway(keyed: GatewayProcess, alices: str, path: str) -> None:
    assert problem_of(keyed.get(by_path(alices, path)), 502)["code"] == "port_failed"


def test_an_owner_has_so_many_connections(keyed: GatewayProcess, alices: str) -> None:
    """Each takes descriptors and memory of a worker: here eight, and one more is refused."""
    url = keyed.url + by_path(alices, "events")
    with requests.Session() as session, ThreadPoolExecutor(8) as pool:
        session.headers["X-API-Key"] = ALICE
        opened_ones = list(pool.map(lambda _: session.get(url, stream=True, timeout=10), range(8)))
        try:
            assert {answer.status_code for answer in opened_ones} == {200}
            problem = problem_of(keyed.get(by_path(alices)), 429)
            assert problem["code"] == "too_many_port_connections"
        finally:
            for answer in opened_ones:
                answer.close()
    eventually(lambda: keyed.get(by_path(alices)).status_code == 200)


def test_a_name_leads_to_a_sandbox_too(keyed: GatewayProcess, alices: str) -> None:
    answer = keyed.get(by_path("web", "x"))

    assert answer.status_code == 200
    with opened(keyed) as client:
        client.sendall(
            f"GET /y HTTP/1.1\r\nHost: 8000-web.localhost\r\nX-API-Key: {ALICE}\r\n\r\n".encode()
        )
        assert answer_of(client.recv(65536)).status == 200
