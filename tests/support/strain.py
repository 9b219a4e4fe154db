"""What a gateway suffers meanwhile: how slowly `/healthz` answers, how its workers grow."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from tests.support.gateway_process import GatewayProcess
from tests.support.processor_wait import run_delay_s

EVERY_S = 0.02
NO_ANSWER_S = 30.0

_FORGET_PEAK = "5"
"""Resets VmHWM (proc(5), clear_refs)."""


class Strain:
    """The worst that was seen so far."""

    def __init__(self, workers: list[psutil.Process]) -> None:
        self._workers = workers
        self._before = [worker.memory_info().rss for worker in workers]
        for worker in workers:
            Path(f"/proc/{worker.pid}/clear_refs").write_text(_FORGET_PEAK)
        self.slowest_s = 0.0
        """Of the answers of `/healthz`, without the time in which the worker or the one who asks
        was ready to run and the machine's other work had the processor."""
        self.probes = 0

    @property
    def growth(self) -> int:
        """Bytes, of the worker that grew most, at its largest."""
        peaks = [_peak(worker) for worker in self._workers]
        return max(peak - before for peak, before in zip(peaks, self._before, strict=True))

    def look(self, gateway: GatewayProcess) -> None:
        started, waited = time.monotonic(), self._waited_s()
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=NO_ANSWER_S)
        try:
            connection.request("GET", "/healthz", headers={"Connection": "close"})
            assert connection.getresponse().status == 200
        except TimeoutError:
            pass  # its time is what counts
        finally:
            connection.close()
        self.probes += 1
        took_s = time.monotonic() - started - (self._waited_s() - waited)
        self.slowest_s = max(self.slowest_s, took_s)

    def _waited_s(self) -> float:
        """For a processor, up to now: who asks, and of the workers the one that waited most."""
        mine = run_delay_s(Path("/proc/thread-self/schedstat"))
        return mine + max(run_delay_s(Path(f"/proc/{w.pid}/schedstat")) for w in self._workers)


def _peak(process: psutil.Process) -> int:
    """The most that it ever had resident, or has had since it was made to forget."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


@contextmanager
def strain_of(gateway: GatewayProcess) -> Iterator[Strain]:
    """Watch while inside. A gateway of one worker shows best when that one does not answer."""
    strain = Strain(gateway.workers())
    over = threading.Event()
    failed: list[BaseException] = []

    def watch() -> None:
        try:
            while not over.is_set():
                strain.look(gateway)
                over.wait(EVERY_S)
        except BaseException as error:  # noqa: BLE001  (raised again below)
            failed.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield strain
    finally:
        over.set()
        thread.join(NO_ANSWER_S + 5)
    if failed:
        raise failed[0]
