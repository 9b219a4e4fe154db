"""Thousands of connections of somebody without a key: the others are served."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.clients import Refused, connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, INLINE, bearer
from tests.support.plain_http import opened

MOST = 200
STRANGERS = 20


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """One worker with room for 200 connections, 20 of them for strangers, 12 for each key."""
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("small"),
        workers="1",
        network="none",
        api_keys=INLINE,
        max_connections=str(MOST),
        max_connections_per_client="12",
    )
    gateway.headers = bearer(ALICE)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


BEGINNINGS = {
    "silent": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nHost: local",
    "kept alive": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "refused": b"GET /sandboxes HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a body that never comes": b"POST /sandboxes HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Length: 9\r\n\r\n",
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_strangers_shut_nobody_out(small: GatewayProcess, name: str) -> None:
    """Twice as many as there is room for, however they begin. The oldest are let go, and whoever
    comes afterwards is served."""
    with ExitStack() as stack:
        crowd = []
        for _ in range(2 * MOST):
            crowd.append(stack.enter_context(opened(small)))
            crowd[-1].sendall(BEGINNINGS[name])

        eventually(lambda: _connections(small) <= STRANGERS + 2, within_s=30)
        begun = time.monotonic()
        assert small.get("/healthz", timeout=10).status_code == 200
        assert small.get("/sandboxes", timeout=10).status_code == 200
        assert time.monotonic() - begun < 5


def _connections(gateway: GatewayProcess) -> int:
    [worker] = gateway.workers()
    return sum(
        one.status == "ESTABLISHED" and one.laddr.port == gateway.port
        for one in worker.net_connections(kind="tcp")
    )


def test_one_key_leaves_room_to_the_others(small: GatewayProcess) -> None:
    """WebSockets stay open; the one too many is refused before the upgrade, and says why."""
    sandbox_id = small.create()
    with ExitStack() as stack:
        for _ in range(12):
            stack.enter_context(connect(small, sandbox_id, header=bearer(ALICE)))
        with pytest.raises(Refused) as refused:
            connect(small, sandbox_id, header=bearer(ALICE))
        assert refused.value.status == 429
        assert b"too_many_connections" in refused.value.body
        assert small.get("/sandboxes", headers=bearer(BOB)).status_code == 200
    eventually(lambda: small.delete(f"/sandboxes/{sandbox_id}").status_code == 200)


def test_a_client_that_keeps_its_connections_gets_the_next_one(small: GatewayProcess) -> None:
    """A pool of idle ones makes room for itself."""
    asked = f"GET /sandboxes HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {ALICE}\r\n\r\n".encode()
    with ExitStack() as stack:
        for _ in range(30):
            client: socket.socket = stack.enter_context(opened(small))
            client.sendall(asked)
            assert client.recv(12) == b"HTTP/1.1 200"
        eventually(lambda: _connections(small) <= 12)
