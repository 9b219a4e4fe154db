"""A sandbox that fills its disk, by bytes or by files, hurts only itself, and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.engine.interface import ContainerInfo
from gateway.errors import HostToolFailed
from gateway.host.disk_rules import inodes_for
from gateway.host.layer_disks import LayerDisks
from gateway.host.loop_device import mounted_from
from tests.support.disk_workshop import DISK_MB, MIB, Workshop
from tests.support.engine_view import INSTANCE_LABEL
from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]

_MANY_FILES = """
import os, sys
os.makedirs(sys.argv[1] + "/many")
try:
    for number in range(1000000):
        open(sys.argv[1] + f"/many/{number}", "w").close()
except OSError as error:
    print(error.errno, number)
"""


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path / "images")
    yield made
    made.close()
    eventually(lambda: made.leftovers() == [])


def _free_bytes() -> int:
    found = os.statvfs("/var/lib/docker")
    return found.f_bavail * found.f_frsize


def _device_bytes(device: int) -> int:
    """How large a block device is, which is as much as the file behind it can grow."""
    numbers = f"{os.major(device)}:{os.minor(device)}"
    return int(Path(f"/sys/dev/block/{numbers}/size").read_text()) * 512


def test_this_host_can(workshop: Workshop) -> None:
    """As root, on the engine's host, with overlay2: the tests below are about something."""
    assert workshop.disks.enforcement() == "loop"
    assert workshop.disks.check()[0] is True


@pytest.mark.parametrize("place", ["/tmp", "/home/user", "/var/tmp"])
def test_bytes_end_at_the_limit(workshop: Workshop, place: str) -> None:
    """Wherever they are written; the host loses no more than the limit, and another sandbox
    nothing. All of it is on a block device of that size: what the host has free is no measure of
    it, because others write at the same time."""
    sandbox, other = workshop.make(), workshop.make()
    assert sandbox.layer is not None

    told = workshop.run(sandbox, "sh", "-c", f"head -c 300M /dev/zero > {place}/x; sync; df -m /")

    assert "No space left on device" in told
    written = Path(f"{sandbox.layer}/diff{place}/x").stat()
    assert written.st_dev == os.stat(sandbox.layer).st_dev
    assert written.st_dev != os.stat(workshop.directory).st_dev
    assert _device_bytes(written.st_dev) <= DISK_MB * MIB
    size = int(workshop.run(sandbox, "stat", "-c", "%s", f"{place}/x"))
    assert DISK_MB * MIB * 0.8 < size < DISK_MB * MIB
    assert (
        workshop.run(other, "sh", "-c", "head -c 30M /dev/zero > /tmp/x && echo well") == "well\n"
    )


def test_files_end_at_the_limit(workshop: Workshop) -> None:
    """Empty ones take no bytes, and would use up the host's inodes."""
    sandbox, other = workshop.make(), workshop.make()

    errno, made = workshop.run(sandbox, "python3", "-c", _MANY_FILES, "/tmp").split()

    assert int(errno) == 28
    assert inodes_for(DISK_MB) * 0.9 < int(made) < inodes_for(DISK_MB)
    assert "No space" in workshop.run(sandbox, "sh", "-c", "echo x > /home/user/x")
    assert workshop.run(other, "sh", "-c", "echo well > /tmp/x; cat /tmp/x") == "well\n"


def test_without_a_disk_nothing_is_limited(workshop: Workshop) -> None:
    """Otherwise something else than the disk made the tests above pass."""
    sandbox = workshop.make(disk_mb=None)

    told = workshop.run(
        sandbox, "sh", "-c", f"head -c {DISK_MB + 20}M /dev/zero > /tmp/x && echo well"
    )

    assert told == "well\n"


def test_a_full_sandbox_is_deleted_quickly(workshop: Workshop) -> None:
    """In bytes and in files; its space is free afterwards, and no device or mount is left."""
    sandbox = workshop.make()
    workshop.run(sandbox, "python3", "-c", _MANY_FILES, "/tmp")
    workshop.run(sandbox, "sh", "-c", "head -c 300M /dev/zero > /home/user/x")

    began = time.monotonic()
    workshop.engine.remove(sandbox.container_id)

    assert time.monotonic() - began < 10
    assert sandbox.layer is not None
    assert not Path(sandbox.layer).exists()
    eventually(lambda: workshop.leftovers() == [])


def test_deleted_files_are_given_back_to_the_host(workshop: Workshop) -> None:
    """Else a long-lived sandbox would hold all that it ever wrote."""
    sandbox = workshop.make(disk_mb=1024)
    assert sandbox.layer is not None
    before = _free_bytes()
    workshop.run(sandbox, "sh", "-c", "head -c 800M /dev/zero > /tmp/x; sync")
    assert before - _free_bytes() > 500 * MIB

    workshop.run(sandbox, "sh", "-c", "rm /tmp/x; sync")
    workshop.disks.give_back(sandbox.layer)

    eventually(lambda: before - _free_bytes() < 300 * MIB, within_s=20)


def test_deleting_many_files_is_as_fast_as_without_a_disk(workshop: Workshop) -> None:
    """Mounted with `discard` it took ten times as long."""
    work = """
import os, time
os.makedirs("/tmp/many")
for number in range(1500):
    with open(f"/tmp/many/{number}", "w") as file:
        file.write("x" * 5000)
os.sync()
began = time.time()
for number in range(1500):
    os.unlink(f"/tmp/many/{number}")
print(time.time() - began)
"""
    plain, limited = (
        min(float(workshop.run(workshop.make(disk_mb), "python3", "-c", work)) for _ in range(2))
        for disk_mb in (None, 1024)
    )

    assert limited < 3 * plain + 0.5


def test_the_root_file_system_is_as_before(workshop: Workshop) -> None:
    """Writable for whom it was, the same owners and modes, and not a mount more inside."""
    plain, limited = workshop.make(disk_mb=None), workshop.make()
    look = ["sh", "-c", "stat -c '%n %U %G %a' / /tmp /home/user /etc /root; id"]
    mounts = ["sh", "-c", "awk '{print $2, $3}' /proc/mounts"]

    assert workshop.run(limited, *look) == workshop.run(plain, *look)
    assert workshop.run(limited, *mounts) == workshop.run(plain, *mounts)
    assert workshop.run(limited, "ls", "/tmp") == ""
    assert workshop.run(limited, "sh", "-c", "echo x > /etc/y; cat /etc/y", user="0") == "x\n"
    assert workshop.api.inspect_container(limited.container_id)["Mounts"] == []


def test_what_was_written_survives_a_restart_of_the_container(workshop: Workshop) -> None:
    """The disk stays mounted while the container is stopped."""
    sandbox = workshop.make()
    workshop.run(sandbox, "sh", "-c", "echo kept > /tmp/x")

    workshop.api.restart(sandbox.container_id, timeout=0)

    assert workshop.run(sandbox, "cat", "/tmp/x") == "kept\n"
    assert workshop.run(sandbox, "sh", "-c", "df -m / | awk 'END {print $2 < 64}'") == "1\n"


def test_a_failed_start_leaves_nothing(workshop: Workshop) -> None:
    """The engine's undoing of the container takes the disk along."""

    class Failing:
        def __init__(self) -> None:
            self.disk = workshop.disks.preparation(DISK_MB)

        def before_start(self, container: ContainerInfo) -> None:
            assert self.disk is not None
            self.disk.before_start(container)
            assert mounted_from(workshop.directory) == [container.layer]
            raise HostToolFailed("on purpose")

        def after_start(self, container: ContainerInfo) -> None:
            raise AssertionError

    with pytest.raises(HostToolFailed, match="on purpose"):
        workshop.engine.start_container(workshop.spec(), Failing())

    eventually(lambda: workshop.leftovers() == [])


_KILLED = """
import os, signal, sys
from pathlib import Path
from gateway.engine.docker.docker_engine import DockerEngine
from gateway.engine.interface import ContainerSpec, Limits
from gateway.host import layer_disks
directory, name, label, point = sys.argv[1:]
engine = DockerEngine(60)
disks = layer_disks.LayerDisks(lambda: engine.host().data_root, directory)
assert disks.enforcement() == "loop"
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if point == "device":
    layer_disks._make_file_system = die
elif point == "file system":
    layer_disks.mount_ext4 = die
elif point == "mounted":
    layer_disks.os.chown = die
elif point == "start":
    disks.confirm = die
image = os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image")
limits = Limits(memory_mb=256, cpus=1, pids=64, file_size_mb=64, disk_mb=64)
labels = {"io.sandbox-gateway.instance": label}
spec = ContainerSpec(name=name, image=image, network="none", limits=limits, labels=labels)
engine.start_container(spec, disks.preparation(64))
"""


@pytest.mark.parametrize("point", ["device", "file system", "mounted", "start"])
def test_a_killed_gateway_leaves_nothing(workshop: Workshop, point: str) -> None:
    """kill -9 at any step: once the container is removed, as reconciliation does, all is gone;
    before it is mounted, nothing is there even without that."""
    name = workshop.spec().name
    arguments = [str(workshop.directory), name, workshop.label, point]

    done = subprocess.run([sys.executable, "-c", _KILLED, *arguments], cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGKILL
    [container_id] = workshop.engine.written({INSTANCE_LABEL: workshop.label})
    if point in ("device", "file system"):
        eventually(lambda: workshop.leftovers() == [])
    else:
        assert mounted_from(workshop.directory) != []
    workshop.disks.sweep(lambda: {workshop.engine.inspect(container_id).layer or ""})
    assert (mounted_from(workshop.directory) != []) == (point in ("mounted", "start"))
    workshop.engine.remove(container_id)
    eventually(lambda: workshop.leftovers() == [])


def test_the_sweep_takes_what_belongs_to_no_container(workshop: Workshop) -> None:
    """And neither the disk of a container that runs nor that of one that is being created."""
    running = workshop.make()
    stopped = workshop.make()
    workshop.api.kill(stopped.container_id)
    assert running.layer is not None
    assert stopped.layer is not None

    workshop.disks.sweep(lambda: {running.layer, stopped.layer})
    assert {*mounted_from(workshop.directory)} == {running.layer, stopped.layer}
    workshop.disks.sweep(set)
    assert mounted_from(workshop.directory) == [running.layer]


@pytest.mark.parametrize(
    "layer",
    [None, "", "/", "/etc", "/var/lib/docker/overlay2", "/var/lib/docker/overlay2/..", "link"],
)
def test_only_layers_are_mounted_over(
    workshop: Workshop, tmp_path: Path, layer: str | None
) -> None:
    """A confused engine must not make the gateway cover /etc."""
    if layer == "link":
        (tmp_path / "link").symlink_to("/etc")
        layer = str(tmp_path / "link")
    workshop.disks.enforcement()

    with pytest.raises(HostToolFailed, match="not a layer"):
        workshop.disks.give_disk(layer, DISK_MB)


def test_an_engine_that_does_not_see_the_mount_is_noticed(workshop: Workshop) -> None:
    """A gateway in a mount namespace of its own (systemd's PrivateMounts, a container): the limit
    would be a fiction. It is said, and the watchdog takes over. A container that has ended since
    its start is no such case: a client may have had it removed."""
    plain, running = workshop.make(disk_mb=None), workshop.make(disk_mb=None)
    workshop.api.kill(plain.container_id)
    workshop.api.wait(plain.container_id)
    assert workshop.disks.enforcement() == "loop"

    with pytest.raises(HostToolFailed, match="ended as soon"):
        workshop.disks.confirm(plain)
    with pytest.raises(HostToolFailed, match="ended as soon"):
        workshop.disks.confirm(replace(plain, pid=None))
    assert workshop.disks.enforcement() == "loop"

    with pytest.raises(HostToolFailed, match="does not see"):
        workshop.disks.confirm(replace(plain, pid=running.pid))

    assert workshop.disks.enforcement() == "watchdog"
    assert workshop.disks.check()[0] is False
    assert workshop.disks.preparation(DISK_MB) is None


@pytest.fixture
def user_without_rights(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr("gateway.host.programs.is_root", lambda: False)


def test_without_rights_the_watchdog_is_left(
    workshop: Workshop, user_without_rights: Callable[[], None]
) -> None:
    """Nothing breaks, and it is said why."""
    user_without_rights()

    assert workshop.disks.enforcement() == "watchdog"
    assert "only root" in workshop.disks.check()[1]
    assert workshop.run(workshop.make(), "echo", "well") == "well\n"
    elsewhere = LayerDisks(lambda: "", str(workshop.directory))
    assert elsewhere.enforcement() == "watchdog"
