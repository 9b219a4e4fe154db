"""Which process is the gateway of a data directory: it holds a lock there as long as it lives.

A pid file alone would name whatever process has that pid after a crash or a reboot.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from gateway.errors import StoreUnavailable
from gateway.process.file_lock import is_locked, try_lock

_FILE = "gateway.pid"


def register_master(data_dir: Path) -> IO[bytes] | None:
    """Note this process; the mark holds as long as the returned file is open, here or in a child.

    Where another gateway holds it already, that one stays the one: None. Raises StoreUnavailable.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark = try_lock(data_dir / _FILE)
    except OSError as error:
        raise StoreUnavailable(str(error)) from error
    if mark is not None:
        mark.truncate(0)
        mark.write(f"{os.getpid()}\n".encode())
        mark.flush()
    return mark


def running_master(data_dir: Path) -> int | None:
    """The pid of the gateway that runs over a data directory; None when none does. Raises
    OSError."""
    path = data_dir / _FILE
    if not is_locked(path):
        return None
    text = path.read_text().strip()
    return int(text) if text.isdecimal() else None
