"""`snapshots`: of small and large trees, by copying and by reference, against `docker commit`.

What the host does, without a gateway in between: snapshot, its pause, a fork up to its first
command, going back in place, changes.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import docker

from gateway.engine.docker.docker_engine import DockerEngine
from gateway.engine.interface import ContainerInfo, ContainerSpec, Limits
from gateway.host.layer_disks import LayerDisks
from gateway.host.layer_snapshots import LayerSnapshots

from .client import BenchmarkFailed
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (
    Target("reflink_large_snapshot", None, "at most", 65),
    Target("reflink_large_pause", None, "at most", 40),
    Target("reflink_large_fork", None, "at most", 250),
    Target("reflink_large_restore", None, "at most", 350),
    Target("copy_small_snapshot", None, "at most", 100),
    Target("copy_small_pause", None, "at most", 50),
    Target("copy_small_fork", None, "at most", 450),
)

TREES = {"small": (10, 1024), "large": (7775, 43_600)}
"""Files, and bytes in each."""

DISK_MB = 2048
UIDS = (70_000, 70_001)
IMAGE = os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image")
_FAST_DISK_MB = 4096

_MAKE_TREE = """
import os, sys
count, size = int(sys.argv[1]), int(sys.argv[2])
for number in range(count):
    os.makedirs(f"/home/user/tree/{number % 100}", exist_ok=True)
    with open(f"/home/user/tree/{number % 100}/{number}", "wb") as file:
        file.write(os.urandom(size))
os.sync()
"""


@dataclass(frozen=True)
class _Place:
    """Where disks are kept, and with which prefix its subjects are named."""

    name: str
    directory: Path


def run(
    _gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """`samples` of each per round. Raises BenchmarkFailed."""
    with ExitStack() as held:
        bench = held.enter_context(_bench())
        places = [held.enter_context(_beside_the_engine(bench))]
        if shutil.which("mkfs.xfs") is None:
            say("reflink is not measured: there is no mkfs.xfs")
        else:
            places.append(held.enter_context(_with_reflink()))
        subjects = []
        for place in places:
            for tree, (count, size) in TREES.items():
                sandbox = _Sandbox(bench, place.directory, count, size)
                held.callback(sandbox.forget)
                subjects += sandbox.subjects(f"{place.name}_{tree}", samples)
                if place is places[0]:
                    about = "docker commit, a container of it, one exec"
                    commit = partial(_each, sandbox.commit_and_run)
                    subjects.append(Subject(f"commit_{tree}", about, commit, samples))
        return measure(subjects, rounds, say)


class _Bench:
    """Containers, which are removed at the end."""

    def __init__(self) -> None:
        self.engine = DockerEngine(120)
        self.api = docker.APIClient(version="auto", timeout=120)
        self.made: list[str] = []

    def spec(self) -> ContainerSpec:
        """Of a container as sandboxes have it."""
        limits = Limits(memory_mb=512, cpus=1, pids=64, file_size_mb=2048, disk_mb=DISK_MB)
        name = f"bench-snapshot-{secrets.token_hex(4)}"
        return ContainerSpec(name=name, image=IMAGE, network="none", limits=limits)

    def exec(self, container: ContainerInfo, *argv: str) -> None:
        """One program in it, as nobody in particular. Raises BenchmarkFailed."""
        made = self.api.exec_create(container.container_id, list(argv), user="1000:1000")
        told = self.api.exec_start(made["Id"])
        if self.api.exec_inspect(made["Id"])["ExitCode"] != 0:
            raise BenchmarkFailed(f"{argv[0]}: {told.decode(errors='replace')}")

    def close(self) -> None:
        """Remove what was made."""
        for container_id in self.made:
            self.engine.remove(container_id)
        self.engine.close()
        self.api.close()


class _Sandbox:
    """What is measured, with a tree of files in it."""

    def __init__(self, bench: _Bench, directory: Path, count: int, size: int) -> None:
        self._bench = bench
        self._disks = LayerDisks(lambda: bench.engine.host().data_root, str(directory))
        self._snapshots = LayerSnapshots(self._disks)
        self._container = bench.engine.start_container(
            bench.spec(), self._disks.preparation(DISK_MB)
        )
        bench.made.append(self._container.container_id)
        bench.exec(self._container, "python3", "-c", _MAKE_TREE, str(count), str(size))
        self._layer = self._container.layer or ""
        self._prefix = secrets.token_hex(4)
        self._kept = f"{self._prefix}-kept"
        self._take(self._kept)

    def subjects(self, prefix: str, samples: int) -> list[Subject]:
        """Each with what it is measured by."""
        works: dict[str, tuple[str, Callable[[], float]]] = {
            "snapshot": ("taken, checked, named", lambda: self._snapshot()[0]),
            "pause": ("of it, in which the container stands still", lambda: self._snapshot()[1]),
            "fork": ("a container of it, up to its first exec", self._fork),
            "restore": ("its disk exchanged, up to its first exec", self._restore),
            "changes": ("since the snapshot", self._changes),
        }
        return [
            Subject(f"{prefix}_{name}", about, partial(_each, work), samples)
            for name, (about, work) in works.items()
        ]

    def forget(self) -> None:
        """Remove its snapshots."""
        for name in self._snapshots.names():
            if name.startswith(self._prefix):
                self._snapshots.remove(name)

    def commit_and_run(self) -> float:
        """By the engine's own means."""
        image = f"bench-snapshot:{secrets.token_hex(4)}"
        began = time.perf_counter()
        self._bench.engine.commit(self._container.container_id, image)
        spec = replace(self._bench.spec(), image=image)
        made = self._bench.engine.start_container(spec)
        self._bench.exec(made, "true")
        took = time.perf_counter() - began
        self._bench.engine.remove(made.container_id)
        self._bench.engine.remove_image(image)
        return took

    @contextmanager
    def _paused(self) -> Iterator[None]:
        self._bench.engine.pause(self._container.container_id)
        try:
            yield
        finally:
            self._bench.engine.unpause(self._container.container_id)

    def _take(self, name: str) -> float:
        return self._snapshots.take(self._layer, name, self._paused()).paused_s

    def _snapshot(self) -> tuple[float, float]:
        name = f"{self._prefix}-{secrets.token_hex(4)}"
        # Something to be flushed.
        self._bench.exec(self._container, "sh", "-c", "head -c 1M /dev/urandom > /home/user/new")
        began = time.perf_counter()
        paused_s = self._take(name)
        took = time.perf_counter() - began
        self._snapshots.remove(name)
        return took, paused_s

    def _fork(self) -> float:
        began = time.perf_counter()
        made = self._bench.engine.start_container(
            self._bench.spec(), self._snapshots.preparation(self._kept, DISK_MB, UIDS)
        )
        self._bench.exec(made, "true")
        took = time.perf_counter() - began
        self._bench.engine.remove(made.container_id)
        return took

    def _restore(self) -> float:
        began = time.perf_counter()
        preparation = self._snapshots.preparation(self._kept, DISK_MB)
        preparation.make_ready(self._container)
        self._bench.api.stop(self._container.container_id, timeout=0)
        preparation.before_start(self._container)
        self._bench.api.start(self._container.container_id)
        preparation.after_start(self._bench.engine.inspect(self._container.container_id))
        self._bench.exec(self._container, "true")
        return time.perf_counter() - began

    def _changes(self) -> float:
        began = time.perf_counter()
        self._snapshots.changes(self._layer, self._kept)
        return time.perf_counter() - began


def _each(work: Callable[[], float], count: int) -> list[float]:
    return [work() for _ in range(count)]


@contextmanager
def _bench() -> Iterator[_Bench]:
    made = _Bench()
    try:
        yield made
    finally:
        made.close()


@contextmanager
def _beside_the_engine(bench: _Bench) -> Iterator[_Place]:
    with tempfile.TemporaryDirectory(dir=bench.engine.host().data_root) as directory:
        yield _Place("copy", Path(directory))


@contextmanager
def _with_reflink() -> Iterator[_Place]:
    """On a file, as `start.sh --fast-disk` makes it."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        image, place = Path(directory) / "image", Path(directory) / "mounted"
        place.mkdir()
        _tool("fallocate", "-l", f"{_FAST_DISK_MB}M", str(image))
        _tool("mkfs.xfs", "-q", "-K", "-m", "reflink=1", str(image))
        _tool("mount", "-o", "loop,noatime", str(image), str(place))
        try:
            yield _Place("reflink", place)
        finally:
            _tool("umount", "--lazy", str(place))


def _tool(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BenchmarkFailed(f"{' '.join(argv)}: {done.stderr.strip()}")
