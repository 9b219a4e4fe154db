"""On what was measured."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import docker
from docker.errors import DockerException


def describe() -> dict[str, Any]:
    """Cores, load, kernel and versions, ready for JSON. `engine` is None where none answers."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": _cpu_model(),
        "load": list(os.getloadavg()),
        "kernel": platform.release(),
        "engine": _engine_version(),
        "python": platform.python_version(),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


def _engine_version() -> str | None:
    try:
        client = docker.from_env()
    except DockerException:
        return None
    try:
        return str(client.version()["Version"])
    except DockerException:
        return None
    finally:
        client.close()
