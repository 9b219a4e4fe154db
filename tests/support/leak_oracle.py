"""What must be as before after a fault: containers, processes, descriptors, memory, mounts, loop
devices, snapshots."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker
import psutil
from docker.errors import NotFound

from gateway.sandboxes.snapshots.host_side import SnapshotNames
from scripts.lib import engine_remains
from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

MIB = 1024 * 1024

SPARE_DESCRIPTORS = 30
"""Per worker: the docker SDK keeps connections to the engine by address, of the last 25 ones."""

SPARE_MEMORY = 24 * MIB
"""Per worker, on top of 5 %: what malloc keeps of buffers that were freed."""

WITHIN_S = 15.0


@contextmanager
def leak_oracle(gateway: GatewayProcess, *, live: set[str] | None = None) -> Iterator[None]:
    """Assert that what happens inside leaves nothing behind.

    `live` are the sandboxes that shall be there at the end; without it, those of the beginning.
    The same workers must be there at both ends. Others may use the engine meanwhile: what is
    theirs comes and goes in pairs of container and mount, and is not counted.
    """
    expected = gateway.listed() if live is None else live
    workers = {worker.pid: _Worker(worker) for worker in gateway.workers()}
    host = HostRemains(gateway.engine.api)
    yield
    eventually(lambda: _same_sandboxes(gateway, expected), within_s=WITHIN_S)
    eventually(lambda: _no_carriers(gateway, expected), within_s=WITHIN_S)
    eventually(host.nothing_new_is_left, within_s=WITHIN_S, every_s=0.3)
    eventually(lambda: same_snapshots(gateway), within_s=WITHIN_S)
    assert {worker.pid for worker in gateway.workers()} == set(workers), "a worker was replaced"
    for worker in gateway.workers():
        eventually(lambda w=worker: workers[w.pid].is_matched_by(_Worker(w)), within_s=WITHIN_S)
    _another_sandbox_answers(gateway)


def _same_sandboxes(gateway: GatewayProcess, expected: set[str]) -> bool:
    containers = set(gateway.engine.containers())
    assert containers == expected, f"containers without a sandbox: {containers - expected}"
    assert gateway.listed() == expected
    return True


def same_snapshots(gateway: GatewayProcess) -> bool:
    """Of this gateway's snapshots there are the files that are listed, and no others. It has no
    keys, or that of whose snapshots these are."""
    listed = {one["snapshot_id"] for one in gateway.get("/snapshots").json()}
    kept = snapshot_files(gateway)
    assert kept == listed, f"files without a snapshot: {kept - listed}, without: {listed - kept}"
    return True


def snapshot_files(gateway: GatewayProcess, disks: Path | None = None) -> set[str]:
    """The ids of those of its snapshots that have files on the host; `disks` is SANDBOX_DISK_DIR,
    where the gateway has one of its own."""
    if disks is None:
        disks = Path(gateway.engine.api.info()["DockerRootDir"]) / "sandbox-gateway"
    found = {one.stem for one in (disks / "snapshots").glob("*.ext4")}
    return SnapshotNames(gateway.instance).ids_among(found)


def _no_carriers(gateway: GatewayProcess, sandboxes: set[str]) -> bool:
    """Nobody is connected any more, so no link may be open."""
    for sandbox_id in sandboxes:
        carriers = gateway.engine.carriers(sandbox_id)
        assert carriers == [], f"in {sandbox_id}: {carriers}"
        assert len(gateway.engine.agents(sandbox_id)) <= 1
    return True


class _Worker:
    """What one worker process holds."""

    def __init__(self, process: psutil.Process) -> None:
        self.descriptors = process.num_fds()
        self.memory = process.memory_info().rss
        self.threads = process.num_threads()

    def is_matched_by(self, later: _Worker) -> bool:
        more = later.descriptors - self.descriptors
        assert more <= SPARE_DESCRIPTORS, f"{more} more descriptors"
        growth = later.memory - self.memory
        assert growth <= self.memory * 0.05 + SPARE_MEMORY, f"{growth / MIB:.0f} MiB more memory"
        assert later.threads <= self.threads + 4, f"{later.threads} threads"
        return True


class HostRemains:
    """Shims, mounts, loop devices and network interfaces that belong to no container of the
    engine's.

    Containers of others come and go meanwhile, so what is stray at one look may be theirs on its
    way: left behind is what every look has found.
    """

    def __init__(self, api: docker.APIClient) -> None:
        self._api = api
        self._root = api.info()["DockerRootDir"]
        self._before = self._strays()
        self._always: set[str] | None = None

    def nothing_new_is_left(self) -> bool:
        """Look once more."""
        now = self._strays()
        self._always = now if self._always is None else self._always & now
        assert self._always <= self._before, f"left behind: {self._always - self._before}"
        return True

    def _strays(self) -> set[str]:
        # What is on the host is read first: a container that is new since then does no harm.
        found = _shims() | _mounts(self._root) | _interfaces() | _disks(self._root)
        for entry in self._api.containers(all=True):
            try:
                container = self._api.inspect_container(entry["Id"])
            except NotFound:
                continue
            merged = (container["GraphDriver"]["Data"] or {}).get("MergedDir")
            layer = str(merged).removesuffix("/merged")
            found -= {f"shim {container['Id']}", f"mount {merged}", f"disk {layer}"}
            found -= _devices_below(layer)
            found -= _interface_of(container["State"]["Pid"])
        return found


def _shims() -> set[str]:
    found = set()
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if not command or "containerd-shim" not in command[0] or "-id" not in command:
            continue
        if f"{engine_remains.PARENT}/" not in str(command):  # where tests' own engines are
            found.add(f"shim {command[command.index('-id') + 1]}")
    return found


def _mounts(root: str) -> set[str]:
    mounts = Path("/proc/self/mountinfo").read_text()
    pattern = rf" ({re.escape(root)}/overlay2/\w+/merged) "
    return {f"mount {path}" for path in re.findall(pattern, mounts)}


def _disks(root: str) -> set[str]:
    """Layers that have disks of their own, and the devices of all such disks: mounted, in a mount
    that is nowhere attached, or in use by a program only."""
    mounts = Path("/proc/self/mountinfo").read_text()
    found = {f"disk {path}" for path in re.findall(rf" ({re.escape(root)}/overlay2/\w+) ", mounts)}
    for device in Path("/sys/block").glob("loop*"):
        try:
            file = (device / "loop/backing_file").read_text()
            number = (device / "dev").read_text().strip()
        except OSError:
            continue  # it is free
        if file.startswith(f"{root}/sandbox-gateway/"):
            found.add(f"device {number}")
    return found


def _devices_below(layer: str) -> set[str]:
    """The one that is mounted there."""
    try:
        number = Path(layer).stat().st_dev
    except OSError:
        return set()  # it has just gone
    return {f"device {os.major(number)}:{os.minor(number)}"}


def _interfaces() -> set[str]:
    """The host's ends of the containers' network interfaces, by number."""
    found = set()
    for path in Path("/sys/class/net").glob("veth*"):
        try:
            found.add(f"interface {int((path / 'ifindex').read_text())}")
        except OSError:
            pass  # it has just gone
    return found


def _interface_of(pid: int) -> set[str]:
    try:
        link = Path(f"/proc/{pid}/root/sys/class/net/eth0/iflink").read_text()
    except OSError:
        return set()  # it does not run, or has no network
    return {f"interface {int(link)}"}


def _another_sandbox_answers(gateway: GatewayProcess) -> None:
    sandbox_id = gateway.create()
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("echo well") == "well\n"
    assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
