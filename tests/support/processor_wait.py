"""How long something was ready to run while the machine's other work had the processor."""

from __future__ import annotations

from pathlib import Path

from tests.support.gateway_process import GatewayProcess


def run_delay_s(schedstat: Path) -> float:
    """Seconds on a run queue (Documentation/scheduler/sched-stats.rst); 0 for what has gone."""
    try:
        return int(schedstat.read_text().split()[1]) / 1e9
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


class ProcessorWait:
    """Of a gateway and of the thread that asks it, from now on."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._before = self._delays()

    def so_far_s(self) -> float:
        """The thread's own, and that of the process of the gateway that waited most."""
        now = self._delays()
        # What was started meanwhile has waited only since.
        waited = {pid: delay - self._before.get(pid, 0.0) for pid, delay in now.items()}
        return waited.pop(0) + max(waited.values())

    def _delays(self) -> dict[int, float]:
        """By process id; the thread's under 0."""
        pids = [self._gateway.pid, *(worker.pid for worker in self._gateway.workers())]
        delays = {pid: run_delay_s(Path(f"/proc/{pid}/schedstat")) for pid in pids}
        return {0: run_delay_s(Path("/proc/thread-self/schedstat")), **delays}
