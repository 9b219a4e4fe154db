"""Containers that an earlier version made can have their limits changed by this one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import docker
import pytest

from gateway.engine.docker.docker_engine import DockerEngine
from gateway.engine.interface import Limits

MIB = 1024 * 1024


@pytest.fixture(name="container_of_before")
def make_container_of_before() -> Iterator[str]:
    """Limited to a number of CPUs; now they are limited by quota and period."""
    api = docker.APIClient(version="auto")
    image = os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image")
    config = api.create_host_config(nano_cpus=500_000_000, mem_limit=64 * MIB)
    container = api.create_container(image, ["sleep", "600"], host_config=config)
    yield container["Id"]
    api.remove_container(container["Id"], force=True)
    api.close()


@pytest.mark.parametrize("cpus", [0.05, 0.25, 1.5])
def test_their_cpu_time_is_changed_in_their_way(container_of_before: str, cpus: float) -> None:
    """The engine refuses a quota for what has a number of CPUs."""
    limits = Limits(memory_mb=128, cpus=cpus, pids=50, file_size_mb=10, disk_mb=None)

    DockerEngine(timeout_s=20).update(container_of_before, limits)

    api = docker.APIClient(version="auto")
    host = api.inspect_container(container_of_before)["HostConfig"]
    api.close()
    assert host["NanoCpus"] == pytest.approx(cpus * 1e9)
    assert (host["Memory"], host["PidsLimit"]) == (128 * MIB, 50)
