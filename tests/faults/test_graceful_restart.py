"""What clients notice when workers are replaced while they work."""

from __future__ import annotations

import http.client
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.plain_http import answer_of, opened

ASKED_S = 20.0
"""Most that clients go on asking while workers are replaced."""


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway whose workers are replaced again and again."""
    directory: Path = tmp_path_factory.mktemp("restarted")
    with closing(GatewayProcess(directory)) as gateway:
        yield gateway.start_ready()


def _replace_workers(gateway: GatewayProcess) -> Callable[[], bool]:
    """Tells whether the old ones are gone and the new ones there."""
    old = {worker.pid for worker in gateway.workers()}
    gateway.signal(signal.SIGHUP)

    def are_replaced() -> bool:
        now = {worker.pid for worker in gateway.workers()}
        return not now & old and len(now) == len(old)

    return are_replaced


def _get(connection: http.client.HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def test_a_request_of_a_connection_of_before_is_answered(restarted: GatewayProcess) -> None:
    """It was accepted before the worker was told to stop. To look up the address that the worker
    had listened on failed then, and the request had no answer."""
    old = restarted.workers()
    with opened(restarted) as client:
        # Not only the kernel has accepted it.
        eventually(lambda: any(_has(worker, client) for worker in old))
        are_replaced = _replace_workers(restarted)
        eventually(lambda: not any(_listens(worker) for worker in old))

        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")

        answer = answer_of(client.recv(65536))
        assert answer.status == 200
        assert answer.headers["connection"] == "close"
    eventually(are_replaced, within_s=20)


def _has(worker: psutil.Process, client: socket.socket) -> bool:
    port = client.getsockname()[1]
    return any(one.raddr and one.raddr.port == port for one in worker.net_connections("tcp"))


def _listens(worker: psutil.Process) -> bool:
    try:
        return any(one.status == "LISTEN" for one in worker.net_connections("tcp"))
    except psutil.NoSuchProcess:
        return False


def test_a_connection_between_requests_is_closed_at_once(restarted: GatewayProcess) -> None:
    """A worker that waited for its clients' next requests lived on for the whole grace, and was
    killed then, with whatever request had just come."""
    with opened(restarted) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answered = b""
        while b'{"status":"ok"}' not in answered:
            answered += client.recv(65536)

        are_replaced = _replace_workers(restarted)

        begun = time.monotonic()
        assert client.recv(65536) == b""
        assert time.monotonic() - begun < 3
        eventually(are_replaced, within_s=20)


@pytest.mark.parametrize("keeps_connections", [True, False])
def test_no_request_is_lost_while_workers_are_replaced(
    restarted: GatewayProcess, keeps_connections: bool
) -> None:
    """A connection that is closed between two requests is HTTP's way (RFC 9112, section 9.3.1): the
    client asks again on another. On a new one, each request has its answer."""
    sandbox_id = restarted.create()
    eventually(lambda: len(restarted.workers()) == 2)
    are_replaced = _replace_workers(restarted)
    deadline = time.monotonic() + ASKED_S

    def ask() -> Counter[object]:
        found: Counter[object] = Counter()
        connection = http.client.HTTPConnection("127.0.0.1", restarted.port, timeout=10)
        is_new = True
        while not are_replaced() and time.monotonic() < deadline:
            try:
                found[_get(connection, f"/sandboxes/{sandbox_id}")] += 1
                is_new = False
            except (http.client.RemoteDisconnected, ConnectionError) as error:
                found["broken when new" if is_new else "closed between"] += 1
                found[type(error).__name__] += 1
                connection.close()
                is_new = True
            if not keeps_connections:
                connection.close()
                is_new = True
        connection.close()
        return found

    with ThreadPoolExecutor(3) as pool:
        found = sum((one.result() for one in [pool.submit(ask) for _ in range(3)]), Counter())

    print(found)
    assert are_replaced()
    assert found[200] > 0
    assert found["broken when new"] == 0
    assert {key for key in found if isinstance(key, int)} == {200}
