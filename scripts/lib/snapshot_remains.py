"""What gateways that were killed leave of snapshots: files, and names that images were given.

`is_wanted` is told whose something is, by its gateway's instance.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import APIError

_SNAPSHOT_OF = "user.sandbox-gateway.instance"
_NEEDED = "sandbox-gateway-snapshots-need"


def remove_files(data_root: str, is_wanted: Callable[[str], bool]) -> int:
    """Those below the engine's directory; how many they were."""
    removed = 0
    for file in Path(data_root, "sandbox-gateway", "snapshots").glob("*.ext4"):
        try:
            if is_wanted(os.getxattr(file, _SNAPSHOT_OF).decode(errors="replace")):
                file.unlink()
                removed += 1
        except OSError:
            continue  # another's removal, or it does not say whose it is
    return removed


def remove_names(api: docker.APIClient, is_wanted: Callable[[str], bool]) -> None:
    """An image goes with its last name. Raises DockerException."""
    for image in api.images(name=_NEEDED):
        for name in image["RepoTags"] or ():
            if is_wanted(name.removeprefix(f"{_NEEDED}:").partition(".")[0]):
                with contextlib.suppress(APIError):  # gone, or a sandbox has it
                    api.remove_image(name)
