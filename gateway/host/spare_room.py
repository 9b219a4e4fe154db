"""Room on a sandbox's disk that it cannot take: what the engine needs to start it on a full one.

overlayfs makes some files for a moment when it is mounted, and says that there is no space left
where a tenant has made as many as there may be. Blocks are no matter: what is emptied beside
(`work`, `merged`) is what is filled again.
"""

from __future__ import annotations

import shutil
from pathlib import Path

_PLACE = "spare"
_FILES = 8
"""Linux 6.18 needs three."""


def keep(disk: Path) -> None:
    """Take it, beside the sandbox's own files. Runs in a thread, as `give`. Raises OSError."""
    place = disk / _PLACE
    place.mkdir(mode=0o700, exist_ok=True)
    for number in range(_FILES):
        (place / str(number)).touch(mode=0o600)


def give(disk: Path) -> None:
    """Before a start. Disks of earlier versions have none. Raises OSError."""
    shutil.rmtree(disk / _PLACE, ignore_errors=True)
