"""Containers with disks of their own, over files in a directory of a test's."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import docker

from gateway.engine import container_hardening
from gateway.engine.docker.docker_engine import DockerEngine
from gateway.engine.interface import ContainerInfo, ContainerSpec, Limits
from gateway.host.layer_disks import LayerDisks
from gateway.host.loop_device import mounted_from
from tests.support.engine_view import INSTANCE_LABEL

MIB = 1024 * 1024
DISK_MB = 64


class Workshop:
    """Makes sandboxes' containers with disks over images in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.label = f"test-{os.getpid()}-{secrets.token_hex(4)}"
        self.engine = DockerEngine(60)
        self.api = docker.APIClient(version="auto", timeout=60)
        self.disks = LayerDisks(lambda: self.engine.host().data_root, str(directory))

    def spec(self) -> ContainerSpec:
        return ContainerSpec(
            name=f"sandbox-{self.label}-{secrets.token_hex(4)}",
            image=os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image"),
            network="none",
            limits=Limits(memory_mb=256, cpus=1, pids=64, file_size_mb=4096, disk_mb=DISK_MB),
            labels={INSTANCE_LABEL: self.label},
        )

    def make(self, disk_mb: int | None = DISK_MB) -> ContainerInfo:
        return self.engine.start_container(self.spec(), self.disks.preparation(disk_mb))

    def run(
        self, sandbox: ContainerInfo, *argv: str, user: str = container_hardening.SANDBOX_USER
    ) -> str:
        """What a program prints on both streams."""
        made = self.api.exec_create(sandbox.container_id, list(argv), user=user)
        return self.api.exec_start(made["Id"]).decode()

    def leftovers(self) -> list[str]:
        """Mounts and loop devices over images of this directory, and files in it."""
        devices = [
            str(path)
            for path in Path("/sys/block").glob("loop*/loop/backing_file")
            if _text(path).startswith(f"{self.directory}/")
        ]
        return mounted_from(self.directory) + devices + _files(self.directory)

    def close(self) -> None:
        for container_id in self.engine.written({INSTANCE_LABEL: self.label}):
            self.engine.remove(container_id)
        self.engine.close()
        self.api.close()


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _files(directory: Path) -> list[str]:
    kept = {directory / "empty", directory / "snapshots"}
    return [str(path) for path in directory.rglob("*") if path not in kept]
