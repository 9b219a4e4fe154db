"""Whose sandboxes the kernel runs first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.host import programs
from gateway.host.cpu_groups import CpuGroup, group_of
from gateway.host.cpu_weight import CpuWeights

V1 = "9:cpu:/docker/abc\n8:cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"
JOINED = "4:cpu,cpuacct:/docker/abc\n0::/\n"
V2 = "0::/system.slice/docker-abc.scope\n"


@pytest.mark.parametrize(
    ("groups", "weight", "use"),
    [
        (V1, "cpu/docker/abc/cpu.shares", "cpuacct/docker/abc/cpuacct.usage"),
        (JOINED, "cpu/docker/abc/cpu.shares", "cpuacct/docker/abc/cpuacct.usage"),
        (
            V2,
            "system.slice/docker-abc.scope/cpu.weight",
            "system.slice/docker-abc.scope/cpu.stat",
        ),
    ],
)
def test_a_groups_files_are_found_in_either_version(groups: str, weight: str, use: str) -> None:
    root = Path("/sys/fs/cgroup")
    assert group_of(groups) == CpuGroup(root / weight, root / use)


@pytest.mark.parametrize(
    ("name", "part", "written"),
    [
        ("cpu.shares", 1.0, "1024"),
        ("cpu.shares", 1 / 8, "128"),
        ("cpu.shares", 1 / 5000, "2"),
        ("cpu.weight", 1.0, "100"),
        ("cpu.weight", 1 / 3, "33"),
        ("cpu.weight", 1 / 1000, "1"),
    ],
)
def test_a_part_is_written_in_the_versions_unit(
    tmp_path: Path, name: str, part: float, written: str
) -> None:
    """Never less than the kernel takes."""
    group = CpuGroup(tmp_path / name, tmp_path / "cpu.stat")
    group.weight.write_text("7")
    group.set_weight(part)
    assert group.weight.read_text() == written
    assert group.part() == pytest.approx(part, abs=0.011)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("cpuacct.usage", "2500000000\n"),
        ("cpu.stat", "usage_usec 2500000\nuser_usec 2000000\nsystem_usec 500000\n"),
    ],
)
def test_the_time_used_is_read_in_either_version(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert CpuGroup(tmp_path / "cpu.shares", tmp_path / name).used_s() == 2.5


@dataclass
class _Row:
    owner: str
    container_id: str | None
    pid: int | None = 1


@dataclass
class _Machine:
    """Of two CPUs, whose containers' groups are directories of a test's."""

    root: Path
    rows: list[_Row] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.weights = CpuWeights(
            lambda: self.rows, lambda: True, cpus=2, now=lambda: self.now, group=self.group
        )

    def group(self, container_id: str, _pid: int = 0) -> CpuGroup:
        place = self.root / container_id
        return CpuGroup(place / "cpu.shares", place / "cpuacct.usage")

    def add(self, container_id: str, owner: str) -> None:
        group = self.group(container_id)
        group.weight.parent.mkdir()
        group.weight.write_text("1024")
        group.use.write_text("0")
        self.rows.append(_Row(owner, container_id))

    def passes(self, seconds: float, **cpus: float) -> None:
        """So long, in which each container used so much."""
        self.now += seconds
        for container_id, use in cpus.items():
            file = self.group(container_id).use
            file.write_text(str(int(file.read_text()) + int(use * seconds * 1e9)))
        self.weights.balance()

    def written(self) -> dict[str, int]:
        return {
            str(row.container_id): int(self.group(str(row.container_id)).weight.read_text())
            for row in self.rows
        }


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., _Machine]:
    monkeypatch.setattr(programs, "is_root", lambda: True)

    def make(**owners: str) -> _Machine:
        made = _Machine(tmp_path)
        for container_id, owner in owners.items():
            made.add(container_id, owner)
        made.weights.balance()
        return made

    return make


def test_an_owners_weight_is_divided_among_its_sandboxes(
    machine: Callable[..., _Machine],
) -> None:
    made = machine(a="alice", b="alice", c="bob")
    assert made.written() == {"a": 2048, "b": 2048, "c": 4096}
    made.rows.pop(0)
    made.passes(1.0)
    assert made.written() == {"b": 4096, "c": 4096}


def test_who_takes_more_than_its_part_goes_last(machine: Callable[..., _Machine]) -> None:
    """However its use is spread; and goes with the others again some seconds after it has
    stopped."""
    made = machine(a="alice", b="alice", c="bob")
    made.passes(0.5, a=0.9, b=0.9, c=0.1)
    assert made.written() == {"a": 128, "b": 128, "c": 4096}
    made.passes(0.5, c=0.1)
    assert made.written() == {"a": 128, "b": 128, "c": 4096}
    for _ in range(10):
        made.passes(0.5, c=0.1)
    assert made.written() == {"a": 2048, "b": 2048, "c": 4096}


def test_a_new_sandbox_of_a_busy_owner_goes_last_too(machine: Callable[..., _Machine]) -> None:
    made = machine(a="alice", c="bob")
    made.passes(0.5, a=1.9)
    made.add("b", "alice")
    made.passes(0.5, a=1.9)
    assert made.written() == {"a": 128, "b": 128, "c": 4096}


@pytest.mark.parametrize("use", [0.0, 0.2, 0.45])
def test_who_takes_little_keeps_its_weight(machine: Callable[..., _Machine], use: float) -> None:
    """Also beside somebody who takes all that is left."""
    made = machine(a="alice", c="bob")
    for _ in range(20):
        made.passes(0.5, a=2 - use, c=use)
    assert made.written() == {"a": 256, "c": 4096}


def test_all_who_take_their_part_are_equal(machine: Callable[..., _Machine]) -> None:
    made = machine(a="alice", b="bob", c="carol", d="carol")
    made.passes(0.5, a=0.7, b=0.7, c=0.3, d=0.3)
    assert made.written() == {"a": 256, "b": 256, "c": 128, "d": 128}


def test_without_keys_each_sandbox_counts_as_an_owner(machine: Callable[..., _Machine]) -> None:
    made = machine(a="", b="", c="")
    made.passes(0.5, a=1.8)
    assert made.written() == {"a": 256, "b": 4096, "c": 4096}


def test_a_container_that_has_gone_does_not_disturb(machine: Callable[..., _Machine]) -> None:
    """Its files go with it, before or after it is known to have ended."""
    made = machine(a="alice", c="bob")
    for file in (made.group("a").weight, made.group("a").use):
        file.unlink()
    made.group("a").weight.parent.rmdir()
    made.add("b", "bob")
    made.passes(0.5)
    made.rows.pop(0)
    made.passes(0.5, b=1.9)
    assert made.written() == {"b": 512, "c": 512}


def test_who_is_alone_keeps_the_usual_weight(machine: Callable[..., _Machine]) -> None:
    """It competes with nobody but the host's own programs."""
    made = machine(a="alice", b="alice")
    made.passes(0.5, a=1.0, b=0.9)
    assert made.written() == {"a": 512, "b": 512}


def test_a_container_that_is_started_again_is_weighed_anew(
    machine: Callable[..., _Machine],
) -> None:
    """Its group is like a new one: with the usual weight, and nothing used."""
    made = machine(a="alice", c="bob")
    made.passes(0.5, a=1.9)
    made.group("a").weight.write_text("1024")
    made.group("a").use.write_text("0")
    made.passes(0.5, a=1.9)
    assert made.written() == {"a": 256, "c": 4096}
