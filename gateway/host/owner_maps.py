"""User namespaces in which two users have changed places: what a mount's owners are mapped by.

A user namespace is made by a process only, so one is started, given its map, and ended: 7 ms.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import gevent

from gateway.errors import HostToolFailed
from gateway.host import programs
from gateway.host.nameless_files import HeldFile

_ALL = 2**32 - 1

_LIMIT_S = 5.0
_LOOK_EVERY_S = 0.0005


def namespace_swapping(uids: tuple[int, int]) -> HeldFile:
    """One in which each of the two has the other's number, and all others their own. It lasts as
    long as this, or a mount that is mapped by it. Raises HostToolFailed and OSError."""
    own = os.stat("/proc/self/ns/user").st_ino
    deadline = time.monotonic() + _LIMIT_S
    with programs.started(["unshare", "--user", "sleep", f"{2 * _LIMIT_S:g}"]) as pid:
        place = Path(f"/proc/{pid}")
        while (place / "ns/user").stat().st_ino == own:
            if time.monotonic() > deadline:
                raise HostToolFailed("no user namespace for the owners of a snapshot's files")
            gevent.sleep(_LOOK_EVERY_S)
        (place / "uid_map").write_text(swapped(uids))
        (place / "gid_map").write_text(f"0 0 {_ALL}\n")
        return HeldFile(os.open(place / "ns/user", os.O_RDONLY))


def swapped(uids: tuple[int, int]) -> str:
    """As /proc/pid/uid_map takes it: number on the disk, number that is seen, how many."""
    low, high = sorted(uids)
    lines = [
        (0, 0, low),
        (low, high, 1),
        (low + 1, low + 1, high - low - 1),
        (high, low, 1),
        (high + 1, high + 1, _ALL - high - 1),
    ]
    return "".join(f"{here} {there} {count}\n" for here, there, count in lines if count > 0)
