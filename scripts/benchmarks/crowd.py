"""`crowd`: thousands of WebSocket clients that are merely there, and a hundred that work."""

from __future__ import annotations

import base64
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from urllib.parse import urlsplit

import psutil
import requests

from .client import TIMEOUT_S, BenchmarkFailed, CommandSocket, sandbox
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (
    Target("rest", None, "at most", 100),
    Target("rest", None, percent=99),
    Target("command", None, percent=99),
)

IDLE = 5000
ACTIVE = 100
ACTIVE_SANDBOXES = 10
PAUSE_S = 0.5
"""Between the commands of an active client."""


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure REST and commands beside the crowd, on one worker (`--workers 1`). Raises
    BenchmarkFailed."""
    url = gateways.measured
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with ExitStack() as held:
        ids = [held.enter_context(sandbox(url)) for _ in range(ACTIVE_SANDBOXES)]
        commands = held.enter_context(closing(CommandSocket(url, ids[0])))
        commands.time("true", 30)
        before = _memory(url)
        held.enter_context(_idle_clients(url, ids, say))
        grown = _memory(url) - before
        say(f"{IDLE} idle clients: {grown / IDLE / 1024:.1f} KB each")
        working = held.enter_context(_active_clients(url, ids))
        subjects = [
            Subject("rest", "GET /sandboxes", lambda count: _rest(url, count), samples),
            Subject(
                "command", "one that does nothing", lambda n: commands.time("true", n), samples
            ),
        ]
        series = measure(subjects, rounds, say)
        say(f"{ACTIVE} active clients ran {working()} commands meanwhile")
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return series


def _rest(url: str, count: int) -> list[float]:
    durations = []
    for _ in range(count):
        started = time.perf_counter()
        requests.get(f"{url}/sandboxes", timeout=TIMEOUT_S).raise_for_status()
        durations.append(time.perf_counter() - started)
    return durations


def _memory(url: str) -> int:
    """Bytes that the gateway's workers have resident."""
    port = urlsplit(url).port
    pids = {
        found.pid
        for found in psutil.net_connections("tcp")
        if found.status == psutil.CONN_LISTEN and found.laddr.port == port and found.pid
    }
    workers = [psutil.Process(pid) for pid in pids]
    return sum(worker.memory_info().rss for worker in workers)


@contextmanager
def _idle_clients(url: str, ids: list[str], say: Callable[[str], None]) -> Iterator[None]:
    """Bare sockets that have done their handshake: no library's memory counts on either side."""
    address = urlsplit(url)
    place = (address.hostname or "localhost", address.port or 80)
    with ExitStack() as held:
        started = time.monotonic()
        for number in range(IDLE):
            client = socket.create_connection(place, TIMEOUT_S)
            held.enter_context(closing(client))
            client.sendall(_handshake(ids[number % len(ids)]))
            answer = client.recv(4096)
            if b" 101 " not in answer:
                raise BenchmarkFailed(f"client {number} was answered {answer[:200]!r}")
        say(f"{IDLE} clients connected in {time.monotonic() - started:.0f} s")
        yield


def _handshake(sandbox_id: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET /ws/{sandbox_id} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


@contextmanager
def _active_clients(url: str, ids: list[str]) -> Iterator[Callable[[], int]]:
    """Run a command every now and then; yields what tells how many it has been."""
    stop = threading.Event()
    counts = [0] * ACTIVE

    def work(number: int) -> None:
        with closing(CommandSocket(url, ids[number % len(ids)])) as commands:
            while not stop.wait(PAUSE_S):
                commands.run("true")
                counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(ACTIVE)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(counts)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
