"""An equal part of the CPU for each owner."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.host.cpu_weight import weight_of

V1 = "9:cpu:/docker/abc\n8:cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n"
JOINED = "4:cpu,cpuacct:/docker/abc\n0::/\n"
V2 = "0::/system.slice/docker-abc.scope\n"


@pytest.mark.parametrize(
    ("groups", "count", "path", "weight"),
    [
        (V1, 1, "cpu/docker/abc/cpu.shares", 1024),
        (V1, 8, "cpu/docker/abc/cpu.shares", 128),
        (V1, 5000, "cpu/docker/abc/cpu.shares", 2),
        (JOINED, 2, "cpu/docker/abc/cpu.shares", 512),
        (V2, 1, "system.slice/docker-abc.scope/cpu.weight", 100),
        (V2, 3, "system.slice/docker-abc.scope/cpu.weight", 33),
        (V2, 1000, "system.slice/docker-abc.scope/cpu.weight", 1),
    ],
)
def test_a_part_for_each_sandbox_of_an_owner(
    groups: str, count: int, path: str, weight: int
) -> None:
    """In the group and the unit of either version; never less than the kernel takes."""
    assert weight_of(groups, count) == (Path("/sys/fs/cgroup") / path, weight)
