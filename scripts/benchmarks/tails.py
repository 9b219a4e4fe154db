"""`tails`: many clients of one sandbox at once, by the period in which its CPU is limited."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import docker

from gateway.sandboxes.spec.container_labels import SANDBOX_ID

from .client import BenchmarkFailed, CommandSocket, sandbox
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

CLIENTS = 16
WARM_UP = 5
COMMAND = "true"

# Period and burst, in microseconds.
LIMITS_US = {
    "100 ms": (100_000, 0),
    "100 ms, burst": (100_000, 100_000),
    "10 ms": (10_000, 0),
    "10 ms, burst": (10_000, 10_000),
}

TARGETS = (
    Target("10 ms", "100 ms", "at most", 1.0, percent=99),
    Target("10 ms", "100 ms"),
    Target("100 ms, burst", "100 ms", percent=99),
    Target("10 ms, burst", "10 ms", percent=99),
)


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure sandboxes of one CPU that differ in nothing but that period. Raises BenchmarkFailed
    and DockerException."""
    with ExitStack() as held:
        api = held.enter_context(closing(docker.APIClient()))
        subjects = []
        for name, (period_us, burst_us) in LIMITS_US.items():
            sandbox_id = held.enter_context(sandbox(gateways.measured))
            _set_limit(api, sandbox_id, period_us, burst_us)
            clients = [
                held.enter_context(closing(CommandSocket(gateways.measured, sandbox_id)))
                for _ in range(CLIENTS)
            ]
            _at_once(clients, WARM_UP)
            about = f"{CLIENTS} clients at once, quota enforced every {name}"
            subjects.append(Subject(name, about, partial(_sample, clients), samples))
        return measure(subjects, rounds, say)


def _set_limit(api: docker.APIClient, sandbox_id: str, period_us: int, burst_us: int) -> None:
    """One CPU, counted in such periods, of which unused time may be saved up to the burst. In the
    control group itself, as root on the engine's host: the engine has no word for bursts.
    """
    [container] = api.containers(filters={"label": f"{SANDBOX_ID}={sandbox_id}"})
    pid = api.inspect_container(container["Id"])["State"]["Pid"]
    group = _cpu_group(Path(f"/proc/{pid}/cgroup").read_text())
    try:
        if (group / "cpu.max").exists():
            (group / "cpu.max.burst").write_text("0")
            (group / "cpu.max").write_text(f"{period_us} {period_us}")
            (group / "cpu.max.burst").write_text(str(burst_us))
            return
        (group / "cpu.cfs_quota_us").write_text("-1")
        (group / "cpu.cfs_period_us").write_text(str(period_us))
        (group / "cpu.cfs_quota_us").write_text(str(period_us))
        (group / "cpu.cfs_burst_us").write_text(str(burst_us))
    except OSError as error:
        raise BenchmarkFailed(f"the period cannot be set here: {error}") from error


def _cpu_group(table: str) -> Path:
    """The directory of a process's CPU limits, from its /proc/PID/cgroup (cgroups(7))."""
    for line in table.splitlines():
        _number, controllers, path = line.split(":", 2)
        if "cpu" in controllers.split(","):
            return Path("/sys/fs/cgroup/cpu") / path.lstrip("/")
        if not controllers and Path("/sys/fs/cgroup/cgroup.controllers").exists():
            return Path("/sys/fs/cgroup") / path.lstrip("/")
    raise BenchmarkFailed("no control group limits this container's CPU")


def _sample(clients: list[CommandSocket], count: int) -> list[float]:
    return _at_once(clients, -(-count // len(clients)))


def _at_once(clients: list[CommandSocket], each: int) -> list[float]:
    """Every client runs so many commands, one after the other; seconds of all of them."""
    with ThreadPoolExecutor(len(clients)) as pool:
        measured = pool.map(lambda client: client.time(COMMAND, each), clients)
        return [duration_s for durations_s in measured for duration_s in durations_s]
