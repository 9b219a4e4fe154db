"""The watchdog: where the kernel holds no limit, and where the host's own disk runs out."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.engine.interface import ContainerInfo
from gateway.errors import DiskFull, EngineUnavailable
from gateway.host import disk_watch
from gateway.host.disk_watch import DiskWatch, Target
from gateway.host.layer_disks import LayerDisks
from gateway.settings import MIB
from tests.security.test_disk import _MANY_FILES, DISK_MB, Workshop
from tests.support.engine_view import INSTANCE_LABEL
from tests.support.eventually import eventually
from tests.support.other_hosts import sh


class Watched:
    """A watch over the containers of a workshop, whose sandboxes are named like them."""

    def __init__(self, workshop: Workshop, floor_mb: int = 0) -> None:
        self.workshop = workshop
        self.sandboxes: list[ContainerInfo] = []
        self.limits_mb: dict[str, int] = {}
        self.owners: dict[str, str] = {}
        self.ended: list[tuple[str, str]] = []
        self.watch = DiskWatch(
            workshop.disks,
            floor_mb=floor_mb,
            targets=lambda: [
                Target(s.name, s.container_id, self.limits_mb[s.name], self.owners[s.name])
                for s in self.sandboxes
            ],
            layer_of=lambda container_id: workshop.engine.inspect(container_id).layer,
            written=lambda: workshop.engine.written({INSTANCE_LABEL: workshop.label}),
            end=self._end,
        )

    def _end(self, sandbox_id: str, why: str) -> None:
        [sandbox] = [s for s in self.sandboxes if s.name == sandbox_id]
        self.workshop.engine.remove(sandbox.container_id)
        self.sandboxes.remove(sandbox)
        self.ended.append((sandbox_id, why))

    def make(self, disk_mb: int | None = None, owner: str = "") -> ContainerInfo:
        """With a disk of that size; else with a limit of `DISK_MB` that the kernel ignores."""
        made = self.workshop.make(disk_mb)
        self.limits_mb[made.name] = disk_mb or DISK_MB
        self.owners[made.name] = owner
        self.sandboxes.append(made)
        return made

    def write(self, sandbox: ContainerInfo, mib: int) -> None:
        self.workshop.run(sandbox, "sh", "-c", f"head -c {mib}M /dev/zero > /tmp/x; sync")


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    made = Workshop(tmp_path / "images")
    yield made
    made.close()


@pytest.fixture
def unlimited(workshop: Workshop) -> Workshop:
    """One whose host cannot make disks: the engine's directory has no overlay2."""
    workshop.disks = LayerDisks(lambda: str(workshop.directory), str(workshop.directory))
    assert workshop.disks.enforcement() == "watchdog"
    return workshop


@pytest.mark.parametrize("seen", [True, False])
def test_who_writes_beyond_the_limit_is_ended(
    unlimited: Workshop, monkeypatch: pytest.MonkeyPatch, seen: bool
) -> None:
    """Measured by the gateway where it sees the files, else by the engine."""
    monkeypatch.setattr(unlimited.disks, "sees_layers", lambda: seen)
    monkeypatch.setattr(disk_watch, "COUNT_EVERY_S", 0.0)
    watched = Watched(unlimited)
    modest, greedy = watched.make(), watched.make()
    watched.write(modest, DISK_MB - 10)
    watched.watch.look()
    assert watched.ended == []

    watched.write(greedy, DISK_MB + 10)
    watched.watch.look()

    assert [name for name, _ in watched.ended] == [greedy.name]
    assert f"more than its {DISK_MB} MiB" in watched.ended[0][1]
    assert unlimited.run(modest, "echo", "well") == "well\n"


def test_too_many_files_count_too(unlimited: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty ones, which take no blocks of their own."""
    monkeypatch.setattr(disk_watch, "COUNT_EVERY_S", 0.0)
    watched = Watched(unlimited)
    greedy = watched.make()
    unlimited.run(greedy, "python3", "-c", _MANY_FILES.replace("1000000", "6000"), "/tmp")

    watched.watch.look()

    assert [name for name, _ in watched.ended] == [greedy.name]


def test_sandboxes_without_a_disk_are_counted_where_others_have_one(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was made before the gateway ran as root must not pass for a disk of 250 GB."""
    monkeypatch.setattr(disk_watch, "COUNT_EVERY_S", 0.0)
    watched = Watched(workshop, floor_mb=1)
    plain, limited = watched.make(), watched.make(disk_mb=DISK_MB)
    watched.write(limited, DISK_MB + 10)
    watched.watch.look()
    assert watched.ended == []

    watched.write(plain, DISK_MB + 10)
    watched.watch.look()

    assert [name for name, _ in watched.ended] == [plain.name]


def test_it_does_not_count_all_the_time(
    unlimited: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks come every second; walking through all files does not."""
    watched = Watched(unlimited)
    watched.make()
    watched.watch.look()
    monkeypatch.setattr(disk_watch, "_walked", lambda _: pytest.fail("it counted"))

    watched.watch.look()


def test_links_lead_it_nowhere(unlimited: Workshop) -> None:
    """A sandbox's link to / is a link, and not the host's files."""
    watched = Watched(unlimited)
    sandbox = watched.make()
    unlimited.run(sandbox, "sh", "-c", "ln -s / /tmp/root; ln -s /var/lib/docker /home/user/d")
    layer = unlimited.engine.inspect(sandbox.container_id).layer
    assert layer is not None

    used, inodes = disk_watch._walked(layer)

    assert used < MIB
    assert inodes < 50


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The place for images on a host whose disk has 400 MiB."""
    image, place = tmp_path / "disk", tmp_path / "place"
    with image.open("wb") as file:
        file.truncate(400 * MIB)
    sh("mkfs.ext4", "-q", "-O", "^has_journal", str(image))
    place.mkdir()
    sh("mount", "-o", "loop", str(image), str(place))
    yield place
    sh("umount", "--lazy", str(place))


def test_below_the_floor_the_largest_writer_ends(small_disk: Path) -> None:
    """Limits may add up to more than there is. The floor is never crossed, no sandbox is created
    meanwhile, and who wrote little stays."""
    workshop = Workshop(small_disk / "images")
    try:
        watched = Watched(workshop, floor_mb=100)
        modest = watched.make(disk_mb=300)
        greedy = watched.make(disk_mb=300)
        watched.write(modest, 30)
        watched.watch.check_room()
        watched.watch.look()
        assert watched.ended == []
        assert watched.watch.check()[0] is True

        watched.write(greedy, 240)
        with pytest.raises(DiskFull):
            watched.watch.check_room()
        assert watched.watch.check()[0] is False
        watched.watch.look()

        assert [name for name, _ in watched.ended] == [greedy.name]
        assert "nearly full" in watched.ended[0][1]
        eventually(lambda: _does_not_raise(watched.watch.check_room))
        watched.watch.look()
        assert watched.sandboxes == [modest]
        assert workshop.run(modest, "sh", "-c", "head -c 30M /dev/zero > /tmp/y && echo well") == (
            "well\n"
        )
    finally:
        workshop.close()


def test_who_spreads_what_it_writes_has_nobody_elses_sandbox_ended(small_disk: Path) -> None:
    """Three of one key wrote 60 MiB each, the one of another key 90: the first wrote most."""
    workshop = Workshop(small_disk / "images")
    try:
        watched = Watched(workshop, floor_mb=100)
        modest = watched.make(disk_mb=300, owner="b")
        watched.write(modest, 90)
        spread = [watched.make(disk_mb=300, owner="a") for _ in range(3)]
        for sandbox in spread:
            watched.write(sandbox, 60)

        watched.watch.look()

        assert len(watched.ended) == 1
        assert watched.ended[0][0] in {sandbox.name for sandbox in spread}
        assert modest in watched.sandboxes
    finally:
        workshop.close()


def test_what_was_deleted_inside_saves_the_sandbox(small_disk: Path) -> None:
    """The space is given back before anybody is ended."""
    workshop = Workshop(small_disk / "images")
    try:
        watched = Watched(workshop, floor_mb=100)
        sandbox = watched.make(disk_mb=300)
        watched.write(sandbox, 270)
        workshop.run(sandbox, "sh", "-c", "rm /tmp/x; sync")
        with pytest.raises(DiskFull):
            watched.watch.check_room()

        watched.watch.look()

        assert watched.ended == []
        watched.watch.check_room()
    finally:
        workshop.close()


def test_deleting_works_when_the_hosts_disk_is_full(small_disk: Path) -> None:
    """Should the floor ever be crossed, by others: a sandbox gets errors, and can be removed."""
    workshop = Workshop(small_disk / "images")
    try:
        sandbox = workshop.make(disk_mb=300)
        workshop.run(sandbox, "sh", "-c", "head -c 50M /dev/zero > /tmp/x; sync")
        with (small_disk / "others").open("wb") as file:
            subprocess.run(["head", "-c", "1G", "/dev/zero"], stdout=file, check=False,
                           stderr=subprocess.DEVNULL)  # fmt: skip
        workshop.run(sandbox, "sh", "-c", "head -c 50M /dev/zero > /tmp/y; sync")
        with pytest.raises(DiskFull):
            Watched(workshop, floor_mb=1).watch.check_room()

        workshop.engine.remove(sandbox.container_id)

        eventually(lambda: workshop.leftovers() == [])
    finally:
        workshop.close()


def test_a_sandbox_that_cannot_be_ended_does_not_save_the_others(
    unlimited: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine fails for one; the next is tried all the same."""
    monkeypatch.setattr(disk_watch, "COUNT_EVERY_S", 0.0)
    watched = Watched(unlimited)
    first, second = watched.make(), watched.make()
    for sandbox in (first, second):
        watched.write(sandbox, DISK_MB + 10)
    end = watched.watch._end

    def failing(sandbox_id: str, why: str) -> None:
        if sandbox_id == first.name:
            raise EngineUnavailable("on purpose")
        end(sandbox_id, why)

    watched.watch._end = failing
    watched.watch.look()

    assert [name for name, _ in watched.ended] == [second.name]


def _does_not_raise(call: Callable[[], None]) -> bool:
    try:
        call()
    except DiskFull:
        return False
    return True
