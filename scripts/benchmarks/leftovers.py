"""Removal of the containers that private gateways made, and what they kept, and of no others.

A private gateway's instance is `bench-<pid>-<random>`, so a run that was killed can be told from
one that still goes on.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import APIError

import snapshot_remains
from gateway.sandboxes.spec.container_labels import INSTANCE

_OURS = re.compile(r"bench-([0-9]+)-[0-9a-f]+")


def new_instance() -> str:
    """A value for SANDBOX_INSTANCE that belongs to this process."""
    return f"bench-{os.getpid()}-{secrets.token_hex(4)}"


def remove_of(instance: str) -> int:
    """Remove all containers of one instance; how many there were. Raises DockerException."""
    return _remove(lambda label: label == instance)


def remove_abandoned() -> int:
    """Remove what benchmarks left behind whose process is gone. Raises DockerException."""
    return _remove(_is_abandoned)


def _is_abandoned(instance: str) -> bool:
    match = _OURS.fullmatch(instance)
    return match is not None and not Path(f"/proc/{match[1]}").exists()


def _remove(wanted: Callable[[str], bool]) -> int:
    api = docker.from_env(timeout=60).api
    removed = 0
    for container in api.containers(all=True, filters={"label": INSTANCE}):
        if not wanted(container["Labels"].get(INSTANCE, "")):
            continue
        try:
            api.remove_container(container["Id"], force=True, v=True)
            removed += 1
        except APIError as error:
            if error.status_code not in (404, 409):  # gone, or another is at it
                raise
    snapshot_remains.remove_names(api, wanted)
    snapshot_remains.remove_files(api.info()["DockerRootDir"], wanted)
    api.close()
    return removed
