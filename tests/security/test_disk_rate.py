"""One sandbox that writes all the time leaves the host's disk to others too."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.host.disk_rate import rule_of
from tests.support.clients import connect
from tests.support.gateway_process import GatewayProcess

RATE_MB_S = 16
MIB = 1024 * 1024

_WRITE = "dd if=/dev/zero of=/home/user/x bs=1M count=48 conv=fsync 2>/dev/null"


@pytest.fixture(scope="module")
def slow_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("slow"),
        workers="1",
        memory_mb="256",
        disk_mb="512",
        pool_size="1",
        disk_write_mb_s=str(RATE_MB_S),
    )
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


@pytest.mark.parametrize("wanted", [{}, {"memory_mb": 512, "pids": 100}, {"disk_mb": 300}])
def test_writing_has_a_rate(slow_gateway: GatewayProcess, wanted: dict[str, int]) -> None:
    """Also of one from the pool whose limits were changed, and of one with a disk of its own size.
    48 MiB that are flushed take no less than two seconds."""
    sandbox_id = slow_gateway.create(**wanted)
    with connect(slow_gateway, sandbox_id) as client:
        began = time.monotonic()
        assert client.run(_WRITE, within_s=60)["success"]
        assert time.monotonic() - began >= 2
    slow_gateway.delete(f"/sandboxes/{sandbox_id}")


def test_deleting_does_not_wait_for_it(slow_gateway: GatewayProcess) -> None:
    """What was written and not flushed would take ten seconds at that rate."""
    sandbox_id = slow_gateway.create()
    with connect(slow_gateway, sandbox_id) as client:
        client.run("head -c 160M /dev/zero > /home/user/x", within_s=60)
    began = time.monotonic()

    assert slow_gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200

    assert time.monotonic() - began < 5


def test_the_rule_is_written_where_the_kernel_reads_it() -> None:
    """In both versions of control groups (cgroups(7)), and where they are mixed."""
    device = os.makedev(7, 3)
    one = "8:memory:/docker/a\n7:blkio:/docker/a\n0::/\n"
    two = "0::/system.slice/docker-a.scope\n"

    assert rule_of(one, device, MIB) == (
        Path("/sys/fs/cgroup/blkio/docker/a/blkio.throttle.write_bps_device"),
        f"7:3 {MIB}",
    )
    assert rule_of(two, device, MIB) == (
        Path("/sys/fs/cgroup/system.slice/docker-a.scope/io.max"),
        f"7:3 wbps={MIB}",
    )
