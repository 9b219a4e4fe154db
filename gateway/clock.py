"""The two clocks: wall time for people, boot time for deadlines.

Wall time may jump; a deadline that is kept in it would cull sandboxes after a jump. Boot time
(CLOCK_BOOTTIME, clock_gettime(2)) never jumps, is the same in every process and goes on over a
restart of the gateway. It starts anew with the machine, and then no sandbox is alive either.
"""

from __future__ import annotations

import time
from datetime import datetime
from functools import cache
from pathlib import Path


def wall_s() -> float:
    """Seconds since the epoch."""
    return time.time()


def boot_s() -> float:
    """Seconds since the machine started, suspended time included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@cache
def boot_id() -> str:
    """What tells one run of the machine from the next (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def local_timestamp(at: float | None = None) -> str:
    """Local time as ISO 8601 with milliseconds, the form that results carry.

    `at` is in seconds since the epoch; None is now.
    """
    return datetime.fromtimestamp(wall_s() if at is None else at).isoformat(timespec="milliseconds")
