"""Locks on files that the kernel drops with their process, however that ends: flock(2).

So there is no time-out to wait for and no clock to trust. They hold on one host.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def try_lock(path: Path) -> IO[bytes] | None:
    """Make the file if need be, and hold its lock for as long as what is returned is open, here or
    in a child. None when another process has it. What is in the file stays. Raises OSError."""
    file = path.open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except BaseException:
        file.close()
        raise
    return file


def is_locked(path: Path) -> bool:
    """Whether a process holds the file's lock. False where there is no file. Raises OSError.

    The look itself holds the lock for a moment, in the shared way: who takes it by `try_lock` just
    then is refused.
    """
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Within the block the lock is this process's: it is waited for, which stops all greenlets. So
    it is for what takes milliseconds. Raises OSError."""
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
