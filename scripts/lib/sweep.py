"""Remove what aborted test runs left behind, containers, snapshots and engines, and nothing else.

A test gateway's instance is `test-<pid>-<random>`: a run whose process still lives keeps its own.
So it is with the folders of test engines.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from pathlib import Path

import docker
from docker.errors import APIError, DockerException, ImageNotFound

import engine_remains

LABEL = "io.sandbox-gateway.instance"
_SNAPSHOT_OF = "user.sandbox-gateway.instance"
_NEEDED = "sandbox-gateway-snapshots-need"
_TEST_INSTANCE = re.compile(r"test-([0-9]+)-.+")


def abandoned(instance: str) -> bool:
    """Whether a container with this label value belongs to a test run that is over."""
    match = _TEST_INSTANCE.fullmatch(instance)
    return match is not None and not Path(f"/proc/{match[1]}").exists()


def remove_snapshots(data_root: str) -> int:
    """Of gateways of test runs that are over; how many they were."""
    removed = 0
    for file in Path(data_root, "sandbox-gateway", "snapshots").glob("*.ext4"):
        try:
            if abandoned(os.getxattr(file, _SNAPSHOT_OF).decode(errors="replace")):
                file.unlink()
                removed += 1
        except OSError:
            continue  # another sweep's, or it does not say whose it is
    return removed


def remove_names(api: docker.APIClient) -> None:
    """Those that gateways of test runs that are over have given to images that their snapshots
    needed."""
    for image in api.images(name=_NEEDED):
        for name in image["RepoTags"] or ():
            if abandoned(name.removeprefix(f"{_NEEDED}:").partition(".")[0]):
                with contextlib.suppress(ImageNotFound):
                    api.remove_image(name)


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
        remove_names(api)
        snapshots = remove_snapshots(api.info()["DockerRootDir"])
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
