"""Remove what aborted test runs left behind, containers, snapshots and engines, and nothing else.

A test gateway's instance is `test-<pid>-<random>`: a run whose process still lives keeps its own.
So it is with the folders of test engines.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import docker
from docker.errors import APIError, DockerException

import engine_remains
import snapshot_remains

LABEL = "io.sandbox-gateway.instance"
_TEST_INSTANCE = re.compile(r"test-([0-9]+)-.+")


def abandoned(instance: str) -> bool:
    """Whether a container with this label value belongs to a test run that is over."""
    match = _TEST_INSTANCE.fullmatch(instance)
    return match is not None and not Path(f"/proc/{match[1]}").exists()


def main() -> int:
    removed = 0
    try:
        for folder in engine_remains.abandoned():
            engine_remains.remove(folder)
            print(f"removed the engine of an aborted test run: {folder}")
        api = docker.from_env(timeout=60).api
        for container in api.containers(all=True, filters={"label": LABEL}):
            if not abandoned(container["Labels"].get(LABEL, "")):
                continue
            try:
                api.remove_container(container["Id"], force=True, v=True)
                removed += 1
            except APIError as error:
                # Gone, or another run's sweep is at it.
                if error.status_code not in (404, 409):
                    raise
        snapshot_remains.remove_names(api, abandoned)
        snapshots = snapshot_remains.remove_files(api.info()["DockerRootDir"], abandoned)
    except (DockerException, OSError) as error:
        print(f"leftovers of earlier test runs could not be removed: {error}", file=sys.stderr)
        return 1
    if removed:
        print(f"removed {removed} containers of aborted test runs")
    if snapshots:
        print(f"removed {snapshots} snapshots of aborted test runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
