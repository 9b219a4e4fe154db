"""Snapshots of sandboxes' disks on the real engine: whole, exact, and without a trace when not."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from gateway.engine.interface import ContainerInfo
from gateway.errors import DiskFull, HostToolFailed, SnapshotNotFound, SnapshotTooLarge
from gateway.host import programs, snapshot_disk
from gateway.host.layer_disks import KeptDisk
from gateway.host.layer_snapshots import LayerSnapshots
from gateway.host.loop_device import mounted_from, unmount
from tests.support.disk_workshop import DISK_MB, MIB, Workshop
from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]

_OLD_UID, _NEW_UID = 70_001, 80_001

_FURNISH = """
import os, socket, sys
os.chdir(sys.argv[1] + "/home/user")
os.makedirs("tree/below")
os.chdir("tree")
open("plain", "w").write("well")
os.link("plain", "hard")
os.symlink("/etc/passwd", "soft")
os.mkfifo("fifo")
socket.socket(socket.AF_UNIX).bind("socket")
os.setxattr("plain", "user.mark", b"\\x00\\xff")
open(b"not-\\xff-utf8", "w").close()
open(".wh.looks-like-a-whiteout", "w").close()
with open("sparse", "wb") as file:
    file.truncate(2 << 40)
    file.seek(1 << 40)
    file.write(b"x")
open("program", "w").close()
os.chown("program", 0, 0)
os.setxattr("program", "security.capability", bytes.fromhex("01000002" + "00040000" + 24 * "0"))
entries = ["01000600ffffffff", "0200040071110100", "04000400ffffffff", "10000400ffffffff"]
acl = "02000000" + "".join(entries) + "20000400ffffffff"
os.setxattr("below", "system.posix_acl_access", bytes.fromhex(acl))
for path, _, names in os.walk("."):
    for name in [".", *names]:
        if name != "program":
            os.chown(f"{path}/{name}", int(sys.argv[2]), 1000, follow_symlinks=False)
os.chmod("plain", 0o4751)
os.utime("plain", ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
"""

_LIST = """
import hashlib, json, os, stat, sys
found = {}
os.chdir(sys.argv[1] + "/home/user/tree")
for path, directories, names in os.walk("."):
    for name in [".", *directories, *names]:
        place = os.path.join(path, name)
        entry = os.lstat(place)
        told = [entry.st_ino, oct(entry.st_mode), entry.st_uid, entry.st_gid, entry.st_nlink]
        told += [entry.st_size, entry.st_blocks, entry.st_mtime_ns, entry.st_ctime_ns]
        if not stat.S_ISLNK(entry.st_mode):
            told += [[x, os.getxattr(place, x).hex()] for x in sorted(os.listxattr(place))]
        if stat.S_ISREG(entry.st_mode) and entry.st_size < 1 << 30:
            told += [hashlib.sha256(open(place, "rb").read()).hexdigest()]
        found[os.fsencode(place).hex()] = told
print(json.dumps(found))
"""


_SPOIL = """
import shutil, sys
shutil.rmtree(sys.argv[1] + "/home/user/tree")
open(sys.argv[1] + "/tmp/later", "w").close()
"""


class Snapshots(Workshop):
    """With `taken` the names that tests gave."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.snapshots = LayerSnapshots(self.disks)

    @contextmanager
    def paused(self, sandbox: ContainerInfo) -> Iterator[None]:
        """As the service does."""
        self.engine.pause(sandbox.container_id)
        try:
            yield
        finally:
            self.engine.unpause(sandbox.container_id)

    def all_powerful(self, sandbox: ContainerInfo, code: str, *arguments: str) -> str:
        """What a Python program prints that has all rights, which none has that a tenant starts.
        It finds the root of the sandbox in its first argument."""
        root = f"/proc/{self.engine.inspect(sandbox.container_id).pid}/root"
        return subprocess.run(
            [sys.executable, "-c", code, root, *arguments],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    def take(self, sandbox: ContainerInfo, name: str) -> None:
        """A snapshot of what runs."""
        assert sandbox.layer is not None
        self.snapshots.take(sandbox.layer, name, self.paused(sandbox))

    def fork(
        self, name: str, disk_mb: int = DISK_MB, uids: tuple[int, int] | None = None
    ) -> ContainerInfo:
        """A new container with its files."""
        preparation = self.snapshots.preparation(name, disk_mb, uids)
        return self.engine.start_container(self.spec(), preparation)

    def close(self) -> None:
        """All of it."""
        for name in self.snapshots.names():
            self.snapshots.remove(name)
        super().close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snapshots]:
    made = Snapshots(tmp_path_factory.mktemp("shop") / "images")
    yield made
    made.close()
    eventually(lambda: made.leftovers() == [])


@pytest.fixture(scope="module")
def source(shop: Snapshots) -> ContainerInfo:
    """A sandbox with one of each kind of file, and a snapshot `taken` of it."""
    made = shop.make()
    shop.all_powerful(made, _FURNISH, str(_OLD_UID))
    shop.take(made, "taken")
    return made


def _listed(shop: Snapshots, sandbox: ContainerInfo) -> dict[str, list[object]]:
    found: dict[str, list[object]] = json.loads(shop.all_powerful(sandbox, _LIST))
    return found


def test_forks_are_the_same_to_the_last_block_and_time(
    shop: Snapshots, source: ContainerInfo
) -> None:
    """Content, owners, modes, numbers, links, extended attributes (capabilities and ACLs among
    them), holes, times to the nanosecond; the source is as it was."""
    before = _listed(shop, source)

    first, second = shop.fork("taken"), shop.fork("taken")

    assert len(before) == 12
    assert _listed(shop, first) == _listed(shop, second) == before == _listed(shop, source)


@pytest.mark.parametrize("maps", [True, False])
def test_a_fork_has_a_user_of_its_own(
    shop: Snapshots, source: ContainerInfo, monkeypatch: pytest.MonkeyPatch, maps: bool
) -> None:
    """What belonged to the source's belongs to it, in its own turn too; with and without a kernel
    that maps owners. What belonged to others still does."""
    if not maps:
        monkeypatch.setattr(snapshot_disk, "_maps_owners", lambda: False)
    sandbox = shop.fork("taken", uids=(_OLD_UID, _NEW_UID))
    name = f"of-the-fork-{maps:d}"
    told = shop.run(
        sandbox,
        *("sh", "-c", "cd /home/user/tree && touch made && stat -c '%n %u' plain program made"),
        user=f"{_NEW_UID}:1000",
    )
    shop.take(sandbox, name)
    again = shop.fork(name, uids=(_NEW_UID, _NEW_UID + 1))

    assert told == f"plain {_NEW_UID}\nprogram 0\nmade {_NEW_UID}\n"
    look = ("stat", "-c", "%u", "/home/user/tree/plain", "/home/user/tree/made")
    assert shop.run(again, *look, user="0") == f"{_NEW_UID + 1}\n" * 2
    assert shop.snapshots.changes(sandbox.layer or "", name).counts == {
        "added": 0,
        "modified": 0,
        "deleted": 0,
    }


def test_directories_that_are_made_anew_hide_what_the_image_has(shop: Snapshots) -> None:
    """As the kernel's overlayfs keeps it, against the image and since a moment: whiteouts, a
    directory that hides all of the image's, and directories in it, which say nothing of that. What
    is there again is changed, and what is gone with its directory is not named."""
    sandbox = shop.make()
    layer = sandbox.layer or ""
    keys = "etc/apt/trusted.gpg.d"
    had = shop.run(sandbox, "ls", f"/{keys}").split()
    again, *gone = had

    def done(command: str) -> None:
        assert shop.run(sandbox, "sh", "-c", f"cd /etc && {command}", user="0") == ""

    done("rm skel/.profile && echo more >> skel/.bashrc")
    before = shop.snapshots.index(layer)
    done(f"rm -r apt skel && mkdir -p apt/trusted.gpg.d skel && echo x > apt/trusted.gpg.d/{again}")
    since = shop.snapshots.changes_since(layer, before)
    whole = shop.snapshots.changes(layer, None)

    others = {"sources.list", "sources.list.d", "auth.conf.d", "keyrings", "apt.conf.d"}
    lost = {f"{keys}/{name}" for name in gone} | {"etc/skel/.bash_logout"}
    lost |= {f"etc/apt/{name}" for name in others | {"preferences.d"}}
    lost |= {"etc/skel/.bashrc"}
    for found, besides in ((since, set()), (whole, {"etc/skel/.profile"})):
        assert {path.decode() for path in found.deleted} == lost | besides
        assert found.modified == (f"{keys}/{again}".encode(),)
        assert found.added == ()
    done("rm -r skel && echo file > skel")
    last = shop.snapshots.changes(layer, None)
    assert b"etc/skel" in last.modified
    assert not [path for path in last.deleted if path.startswith(b"etc/skel")]


def test_files_that_are_deleted_and_still_open_are_left_out(shop: Snapshots) -> None:
    """The source goes on with them; in the fork their space is free."""
    sandbox = shop.make()
    hold = "exec 3> /tmp/gone; head -c 40M /dev/zero >&3; rm /tmp/gone; echo $$ > /tmp/holds"
    made = shop.api.exec_create(sandbox.container_id, ["sh", "-c", f"{hold}; sleep 600"], user="0")
    shop.api.exec_start(made["Id"], detach=True)
    eventually(lambda: shop.run(sandbox, "cat", "/tmp/holds").strip().isdigit())

    shop.take(sandbox, "holds")
    fork = shop.fork("holds")

    used = ("sh", "-c", "df -m / | awk 'END {print $3}'")
    assert int(shop.run(sandbox, *used)) >= 40
    assert int(shop.run(fork, *used)) < 5
    assert shop.snapshots.sizes()["holds"] < 45 * MIB


def test_a_sandbox_goes_back_in_place(shop: Snapshots, source: ContainerInfo) -> None:
    """The same container with an earlier disk; the later one is gone from the host."""
    sandbox = shop.fork("taken")
    before = _listed(shop, sandbox)
    shop.all_powerful(sandbox, _SPOIL)

    shop.api.kill(sandbox.container_id)
    shop.api.wait(sandbox.container_id)
    preparation = shop.snapshots.preparation("taken", DISK_MB)
    preparation.before_start(sandbox)
    shop.api.start(sandbox.container_id)
    preparation.after_start(sandbox)

    assert _listed(shop, sandbox) == before
    assert "No such file" in shop.run(sandbox, "cat", "/tmp/later")
    assert mounted_from(shop.directory).count(sandbox.layer or "") == 1


def test_a_fork_may_have_a_larger_disk_and_no_smaller_one(
    shop: Snapshots, source: ContainerInfo
) -> None:
    larger = shop.fork("taken", 2 * DISK_MB)

    assert _listed(shop, larger) == _listed(shop, source)
    told = shop.run(larger, "sh", "-c", "head -c 90M /dev/zero > /tmp/x && echo well", user="0")
    assert told == "well\n"
    with pytest.raises(SnapshotTooLarge, match="64 MiB for 63 MiB"):
        shop.fork("taken", DISK_MB - 1)


def test_a_full_disk_can_be_taken(shop: Snapshots) -> None:
    """And what is there can be read in the fork."""
    sandbox = shop.make()
    shop.run(sandbox, "sh", "-c", "head -c 300M /dev/zero > /tmp/x; echo kept > /tmp/y", user="0")
    size = shop.run(sandbox, "stat", "-c", "%s", "/tmp/x")

    shop.take(sandbox, "full")

    assert shop.run(shop.fork("full"), "stat", "-c", "%s", "/tmp/x") == size


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "x" * 101, "ä", ".x"])
def test_only_names_are_names(shop: Snapshots, source: ContainerInfo, name: str) -> None:
    with pytest.raises(HostToolFailed, match="no name"):
        shop.take(source, name)
    with pytest.raises(HostToolFailed, match="no name"):
        shop.snapshots.remove(name)


def test_a_name_is_given_once(shop: Snapshots, source: ContainerInfo) -> None:
    """Also when both were begun before either had it."""

    @contextmanager
    def meanwhile() -> Iterator[None]:
        yield
        shop.take(source, "both")

    with pytest.raises(HostToolFailed, match="already"):
        shop.take(source, "taken")
    with pytest.raises(HostToolFailed, match="exists"):
        shop.snapshots.take(source.layer or "", "both", meanwhile())
    assert "both" in shop.snapshots.names()


def test_what_pausing_raises_is_let_through(shop: Snapshots, source: ContainerInfo) -> None:
    """And nothing is left of what was begun."""

    @contextmanager
    def busy() -> Iterator[None]:
        raise DiskFull("on purpose")
        yield

    with pytest.raises(DiskFull, match="on purpose"):
        shop.snapshots.take(source.layer or "", "never", busy())
    assert "never" not in shop.snapshots.names()


def test_a_snapshot_that_is_gone_makes_no_fork(shop: Snapshots, source: ContainerInfo) -> None:
    """A fork that has begun keeps its files."""
    shop.take(source, "going")
    fork = shop.fork("going")
    shop.snapshots.remove("going")
    shop.snapshots.remove("going")

    assert _listed(shop, fork) == _listed(shop, source)
    with pytest.raises(SnapshotNotFound):
        shop.fork("going")
    with pytest.raises(HostToolFailed):
        shop.snapshots.changes(fork.layer or "", "going")


def test_a_sandbox_without_a_disk_has_no_snapshots(shop: Snapshots) -> None:
    plain = shop.make(disk_mb=None)

    with pytest.raises(HostToolFailed, match="not a disk of its own"):
        shop.take(plain, "none")


def test_what_runs_keeps_its_disk_until_the_new_one_is_ready(
    shop: Snapshots, source: ContainerInfo
) -> None:
    """It writes until it is stopped; a snapshot that turns out to be gone or damaged changes
    nothing of it, and leaves nothing."""
    sandbox = shop.make()
    files = shop.snapshots.preparation("taken", DISK_MB)
    files.make_ready(sandbox)
    assert shop.run(sandbox, "sh", "-c", "echo later > /tmp/x; cat /tmp/x") == "later\n"
    for name, damage in (("cut", _cut), ("overwritten", _overwritten), ("gone", os.unlink)):
        shop.take(source, name)
        damage(shop.directory / "snapshots" / f"{name}.ext4")
        with pytest.raises((HostToolFailed, SnapshotNotFound)):
            shop.snapshots.preparation(name, DISK_MB).make_ready(sandbox)
        shop.snapshots.remove(name)
    gc.collect()
    assert shop.run(sandbox, "cat", "/tmp/x") == "later\n"
    assert mounted_from(shop.directory).count(sandbox.layer or "") == 1

    shop.api.kill(sandbox.container_id)
    shop.api.wait(sandbox.container_id)
    files.before_start(sandbox)
    shop.api.start(sandbox.container_id)
    files.after_start(shop.engine.inspect(sandbox.container_id))

    assert _listed(shop, sandbox) == _listed(shop, source)
    assert "No such file" in shop.run(sandbox, "cat", "/tmp/x")


def _cut(file: Path) -> None:
    os.truncate(file, 20 * MIB)


def _overwritten(file: Path) -> None:
    with file.open("r+b") as open_file:
        open_file.write(bytes(64 * 1024))


def test_who_has_lost_its_disk_is_not_started(shop: Snapshots) -> None:
    """What a gateway leaves that is killed between taking the old disk away and putting the new one
    in its place: started like that, it would write to the host's disk without a limit."""
    sandbox = shop.make()
    kept = KeptDisk(shop.disks)
    kept.before_start(sandbox)
    shop.api.kill(sandbox.container_id)
    shop.api.wait(sandbox.container_id)
    unmount(sandbox.layer or "")

    with pytest.raises(HostToolFailed, match="not a disk of its own"):
        kept.before_start(sandbox)


def test_a_snapshot_that_is_copied_needs_room(shop: Snapshots, source: ContainerInfo) -> None:
    """For as many bytes as it has, beside the floor that is kept free."""
    asked: list[int] = []

    def full(more_bytes: int) -> None:
        asked.append(more_bytes)
        raise DiskFull("on purpose")

    assert shop.snapshots.way() == "copy"
    with pytest.raises(DiskFull, match="on purpose"):
        shop.snapshots.preparation("taken", DISK_MB, None, full).make_ready(source)
    assert asked == [shop.snapshots.sizes()["taken"]]


def test_no_file_system_of_a_sandbox_can_stop_the_host(shop: Snapshots) -> None:
    """What its superblock says of errors, of who may use it and of devices counts for nothing: the
    mount says it. A tenant could not write there; this is what there is besides."""
    sandbox = shop.make()
    shop.take(sandbox, "hostile")
    image = shop.directory / "snapshots" / "hostile.ext4"
    programs.run(["tune2fs", "-e", "panic", "-o", "acl,user_xattr", str(image)])
    fork = shop.fork("hostile")

    for one in (sandbox, fork):
        [options] = [
            line.split()[3].split(",")
            for line in Path("/proc/mounts").read_text().splitlines()
            if line.split()[1] == one.layer
        ]
        assert {"nosuid", "nodev"} <= set(options)
        assert "errors=panic" not in options
        assert one is sandbox or "errors=continue" in options


@contextmanager
def _file_system(tmp_path: Path, kind: str, size_mb: int) -> Iterator[Path]:
    """One of its own, on a file."""
    image, place = tmp_path / "image", tmp_path / "mounted"
    image.touch()
    os.truncate(image, size_mb * MIB)
    place.mkdir()
    programs.run([f"mkfs.{kind}", "-q", str(image)])
    programs.run(["mount", "-o", "loop", str(image), str(place)])
    try:
        yield place
    finally:
        unmount(str(place))


def test_a_full_host_refuses_and_keeps_nothing(tmp_path: Path) -> None:
    """In the middle of the copy. The sandbox goes on."""
    with _file_system(tmp_path, "ext4", 80) as place:
        shop = Snapshots(place / "images")
        sandbox = shop.make()
        shop.run(sandbox, "sh", "-c", "head -c 45M /dev/urandom > /tmp/x; sync", user="0")
        used = os.statvfs(place).f_bfree

        with pytest.raises(DiskFull):
            shop.take(sandbox, "large")

        assert shop.snapshots.names() == set()
        gc.collect()  # pytest.raises holds the error, and with it what was open
        eventually(lambda: abs(os.statvfs(place).f_bfree - used) < 256)
        assert shop.run(sandbox, "sh", "-c", "echo well > /tmp/y; cat /tmp/y") == "well\n"
        shop.close()
        eventually(lambda: shop.leftovers() == [])


_KILLED = """
import os, signal, sys
from contextlib import nullcontext
from gateway.engine.docker.docker_engine import DockerEngine
from gateway.host import file_clones, layer_disks, layer_snapshots, snapshot_disk
directory, container_id, point = sys.argv[1:]
engine = DockerEngine(60)
disks = layer_disks.LayerDisks(lambda: engine.host().data_root, directory)
snapshots = layer_snapshots.LayerSnapshots(disks)
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
def after(done):
    def act(*arguments):
        done(*arguments)
        die()
    return act
container = engine.inspect(container_id)
if point == "copied":
    layer_snapshots.clone = after(layer_snapshots.clone)
elif point == "checked":
    layer_snapshots.keep = die
elif point == "named":
    layer_snapshots.keep = after(layer_snapshots.keep)
elif point == "cloned":
    snapshot_disk.clone = after(snapshot_disk.clone)
elif point == "mounted":
    snapshot_disk._fill = die
elif point == "filled":
    snapshot_disk._exchange = die
elif point == "unmounted":
    snapshot_disk.attach = die
elif point == "attached":
    snapshot_disk.attach = after(snapshot_disk.attach)
if point in ("copied", "checked", "named"):
    snapshots.take(container.layer, "new", nullcontext())
else:
    snapshots.preparation("old", 64).before_start(container)
"""


@pytest.mark.parametrize(
    "point",
    ["copied", "checked", "named", "cloned", "mounted", "filled", "unmounted", "attached"],
)
def test_a_killed_gateway_leaves_a_whole_one_or_nothing(tmp_path: Path, point: str) -> None:
    """kill -9 at each step: no file, device or mount is left but those that have an owner."""
    shop = Snapshots(tmp_path / "images")
    sandbox = shop.make()
    shop.snapshots.take(sandbox.layer or "", "old", nullcontext())
    if point in ("cloned", "mounted", "filled", "unmounted", "attached"):
        shop.api.kill(sandbox.container_id)
        shop.api.wait(sandbox.container_id)

    arguments = [str(shop.directory), sandbox.container_id, point]
    done = subprocess.run([sys.executable, "-c", _KILLED, *arguments], cwd=ROOT, check=False)

    assert done.returncode == -signal.SIGKILL
    assert shop.snapshots.names() == ({"old", "new"} if point == "named" else {"old"})
    mounted = [] if point == "unmounted" else [sandbox.layer]
    eventually(lambda: mounted_from(shop.directory) == mounted)
    eventually(lambda: len(_devices(shop)) == len(mounted))
    if point == "named":
        assert shop.run(shop.fork("new"), "echo", "well") == "well\n"
    shop.close()
    eventually(lambda: shop.leftovers() == [])


def _devices(shop: Snapshots) -> list[str]:
    return [one for one in shop.leftovers() if one.startswith("/sys/block")]
