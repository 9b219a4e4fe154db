"""`crowd`: thousands of WebSocket clients that are merely there, and a hundred that work."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import psutil
import requests

from .client import TIMEOUT_S, CommandSocket, sandbox
from .crowd_clients import crowd
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (
    Target("rest", None),
    Target("rest", None, "at most", 100, percent=99),
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
    with ExitStack() as held:
        ids = [held.enter_context(sandbox(url)) for _ in range(ACTIVE_SANDBOXES)]
        with closing(CommandSocket(url, ids[0])) as first:
            first.time("true", 30)
        before = _memory(url)
        clients = held.enter_context(crowd(url, ids, IDLE, ACTIVE, PAUSE_S))
        say(f"{IDLE} clients connected in {clients.connected_after_s:.0f} s")
        say(f"{IDLE} idle clients: {(_memory(url) - before) / IDLE / 1024:.1f} KB each")
        clients.begin_to_work()
        commands = held.enter_context(closing(CommandSocket(url, ids[0])))
        subjects = [
            Subject("rest", "GET /sandboxes", lambda count: _rest(url, count), samples),
            Subject(
                "command", "one that does nothing", lambda n: commands.time("true", n), samples
            ),
        ]
        series = measure(subjects, rounds, say)
        say(f"{ACTIVE} active clients ran {clients.stop()} commands meanwhile")
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
