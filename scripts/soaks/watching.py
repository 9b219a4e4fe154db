"""What is looked at from outside while a soak runs: memory, the store, `/healthz`."""

from __future__ import annotations

import http.client
import os
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil

LOOK_S = 1.0
PROBE_S = 0.1
PROBE_LIMIT_S = 30.0


class Watch:
    """Samples a gateway's workers and its data directory once a second, in a thread.

    Whoever reads a process's memory map holds it: the process waits with its next page of memory
    until the reader has got the processor again. Among a hundred bombs that took up to 376 ms, a
    second's reading by a second's reading, and was most of the p99 that the soak told of. So the
    thread is a real-time one, which nothing that it looks at can keep from the processor.

    `pss` has one list of bytes per worker's pid, in order of time; `store_bytes` the size of the
    database with its log.
    """

    def __init__(self, master_pid: int, data_dir: Path) -> None:
        self.pss: dict[int, list[int]] = {}
        self.store_bytes: list[int] = []
        self._master = psutil.Process(master_pid)
        self._data_dir = data_dir
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # of this thread alone
        while not self._stopping.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        for worker in self._master.children():
            try:
                self.pss.setdefault(worker.pid, []).append(worker.memory_full_info().pss)
            except psutil.Error:
                pass  # it has just ended; that there is another pid tells it
        self.store_bytes.append(store_size(self._data_dir))


def store_size(data_dir: Path) -> int:
    """Bytes of the store's files."""
    return sum(file.stat().st_size for file in data_dir.glob("gateway.db*"))


def probe(url: str, duration_s: float, results: Any) -> None:
    """Ask `/healthz` ten times a second on connections of their own; send (seconds, status) of
    each through `results`. Status 0: no answer."""
    found: list[tuple[float, int]] = []
    end = time.monotonic() + duration_s
    while time.monotonic() < end:
        started = time.perf_counter()
        status = _ask(url)
        found.append((time.perf_counter() - started, status))
        time.sleep(PROBE_S)
    results.send(found)
    results.close()


def _ask(url: str) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PROBE_LIMIT_S)
    try:
        connection.request("GET", "/healthz", headers={"Connection": "close"})
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
