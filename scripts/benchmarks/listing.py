"""`listing`: 100,000 entries of a directory, and commands in the same sandbox meanwhile."""

from __future__ import annotations

import http.client
import multiprocessing
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing.synchronize import Event
from urllib.parse import urlsplit

from .client import BenchmarkFailed, CommandSocket, sandbox
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (
    Target("first", None, "at most", 100),
    Target("beside", "alone", "at most", 2, percent=99),
)

ENTRIES = 100_000
PIECE_BYTES = 1024 * 1024


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """`samples` commands alone and as many beside lists that go on one after the other; a tenth as
    many lists. Raises BenchmarkFailed."""
    url = gateways.measured
    with sandbox(url) as sandbox_id, closing(CommandSocket(url, sandbox_id)) as commands:
        commands.run(f"mkdir many; cd many; seq -f %06g {ENTRIES} | xargs touch")
        address = f"/sandboxes/{sandbox_id}/files/list?path=many"

        def beside(count: int) -> list[float]:
            stop, begun = multiprocessing.Event(), multiprocessing.Event()
            # In a process of its own: a client that shares the interpreter would wait for itself.
            lister = multiprocessing.Process(
                target=_list_on, args=(url, address, begun, stop), daemon=True
            )
            lister.start()
            try:
                if not begun.wait(30):
                    raise BenchmarkFailed("no list begins")
                return commands.time("true", count)
            finally:
                stop.set()
                lister.join(30)

        subjects = [
            Subject(
                "first",
                f"first of {ENTRIES} entries",
                lambda count: [_first_entry(url, address)[0] for _ in range(count)],
                max(1, samples // 20),
            ),
            Subject(
                "whole",
                f"all {ENTRIES} entries",
                lambda count: [_first_entry(url, address)[1] for _ in range(count)],
                max(1, samples // 50),
            ),
            Subject("alone", "`true`", lambda count: commands.time("true", count), samples),
            Subject("beside", "`true`, while a list goes on", beside, samples),
        ]
        for subject in subjects:
            subject.sample(1)
        return measure(subjects, rounds, say)


def _first_entry(url: str, address: str) -> tuple[float, float]:
    """Seconds to the first entry and to the end of a list."""
    parts = urlsplit(url)
    client = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=120)
    with closing(client):
        started = time.perf_counter()
        client.request("GET", address, headers={"Accept": "application/x-ndjson"})
        answer = client.getresponse()
        if answer.status != 200:
            raise BenchmarkFailed(f"a list was answered with {answer.status}")
        lines = answer.readline().count(b"\n")
        first = time.perf_counter() - started
        while piece := answer.read(PIECE_BYTES):
            lines += piece.count(b"\n")
        if lines != ENTRIES:
            raise BenchmarkFailed(f"a list of {lines} entries")
        return first, time.perf_counter() - started


def _list_on(url: str, address: str, begun: Event, stop: Event) -> None:
    """One list after the other."""
    begun.set()
    while not stop.is_set():
        _first_entry(url, address)
