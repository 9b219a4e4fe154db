"""Which process is the gateway of a data directory: it holds a lock there as long as it lives.

A pid file alone would name whatever process has that pid after a crash or a reboot.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from gateway.errors import StoreUnavailable

_FILE = "gateway.pid"


def register_master(data_dir: Path) -> IO[str]:
    """Note this process; the mark holds as long as the returned file is open, here or in a child.

    Where another gateway holds it already, that one stays the one. Raises StoreUnavailable.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        mark = (data_dir / _FILE).open("a+")
    except OSError as error:
        raise StoreUnavailable(str(error)) from error
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return mark
    mark.truncate(0)
    mark.write(f"{os.getpid()}\n")
    mark.flush()
    return mark


def running_master(data_dir: Path) -> int | None:
    """The pid of the gateway that runs over a data directory; None when none does."""
    try:
        with (data_dir / _FILE).open() as mark:
            try:
                fcntl.flock(mark, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = mark.read().strip()
                return int(text) if text.isdecimal() else None
    except FileNotFoundError:
        pass
    return None
