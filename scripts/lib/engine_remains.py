"""What a test engine that was killed leaves on the machine, and how to be rid of it.

dockerd and its containerd die with the test run, but shims, containers, mounts and cgroups stay.
Everything is told by the engine's folder, `/tmp/sandbox-gateway-engine-<pid of the run>-<random>`.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

PARENT = Path("/tmp")
"""Not TMPDIR: sockets lie below it, and their paths may have 107 bytes (unix(7))."""

PREFIX = "sandbox-gateway-engine-"
DATA = "data"
"""The engine's --data-root, in its folder."""

EXEC = "run"
"""Its --exec-root."""

_NAME = re.compile(re.escape(PREFIX) + r"([0-9]+)-\w+")
_DAEMONS = {"dockerd", "containerd", "containerd-shim", "runc"}
_CGROUPS = Path("/sys/fs/cgroup")
_DYING_S = 10.0


def abandoned() -> list[Path]:
    """The folders of engines whose test run is over."""
    return [
        folder
        for folder in PARENT.glob(PREFIX + "*")
        if (match := _NAME.fullmatch(folder.name)) and not Path(f"/proc/{match[1]}").exists()
    ]


def remove(folder: Path) -> None:
    """Kill what runs of the engine in `folder`, unmount what it has mounted, delete the folder.

    May be repeated. Raises OSError when something resists.
    """
    containers = _containers(folder)
    deadline = time.monotonic() + _DYING_S
    while pids := [*_daemons(folder), *_contained(containers)]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{folder}: processes {pids} do not die")
        _thaw(containers)
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # it was faster
        time.sleep(0.02)
    for path in sorted(mounts(folder), reverse=True):
        subprocess.run(["umount", "--lazy", path], check=False)
    if stuck := mounts(folder):
        raise OSError(f"cannot unmount {stuck}")
    try:
        for cgroup in _cgroups(containers):
            cgroup.rmdir()
        shutil.rmtree(folder)
    except FileNotFoundError:
        pass  # another run's sweep is at it


def _containers(folder: Path) -> set[str]:
    """Those that dockerd knows, and those that runc knows: some half-made ones only by now."""
    patterns = (f"{DATA}/containers/*", f"{EXEC}/runtime-runc/*/*")
    return {entry.name for pattern in patterns for entry in folder.glob(pattern)}


def _daemons(folder: Path) -> Iterator[int]:
    """dockerd, containerd and the shims: they have a path in the folder among their arguments."""
    mark = os.fsencode(folder) + b"/"
    for process in _processes():
        try:
            if (process / "comm").read_text().strip() not in _DAEMONS:
                continue
            if mark in (process / "cmdline").read_bytes():
                yield int(process.name)
        except OSError:
            pass  # it has just ended


def _contained(containers: set[str]) -> Iterator[int]:
    """What runs in the containers; killing a shim ends none of it."""
    if not containers:
        return
    for process in _processes():
        try:
            cgroups = (process / "cgroup").read_text()
            dead = (process / "stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            continue
        if not dead and any(container in cgroups for container in containers):
            yield int(process.name)


def _processes() -> Iterator[Path]:
    return (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _thaw(containers: set[str]) -> None:
    """A paused process does not even die (cgroup v1)."""
    for container in containers:
        for state in _CGROUPS.glob(f"freezer/*/{container}/freezer.state"):
            state.write_text("THAWED")


def _cgroups(containers: set[str]) -> list[Path]:
    """Version 1: one in each hierarchy; version 2: one, named by the cgroup driver."""
    patterns = ("*/docker/{}", "docker/{}", "system.slice/docker-{}.scope")
    return [
        path
        for container in containers
        for pattern in patterns
        for path in _CGROUPS.glob(pattern.format(container))
        if not path.parent.parent.is_symlink()
    ]


def mounts(folder: Path) -> list[str]:
    """Mount points in the folder (proc(5), mountinfo: the fifth field)."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split(" ")[4] for line in lines]
    return [point for point in points if point.startswith(f"{folder}/")]
