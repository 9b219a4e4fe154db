"""Whom the kernel runs first when many want the CPU: the gateway, not what runs in sandboxes.

A command is answered in a few steps, each of which waits for its turn on a CPU. Beside sandboxes
that compute without a pause each step would wait for their time slices.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

NICE = -10
"""See nice(2): nine times the weight of an ordinary process. The gateway itself needs little."""

_AUTOGROUP = Path("/proc/self/autogroup")


def go_first() -> None:
    """Ask the kernel to prefer this process, and those that it forks. Takes CAP_SYS_NICE; without
    it nothing changes.

    Where sessions are scheduled as groups, the group's own value decides (sched(7), autogroup).
    """
    try:
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
        if _AUTOGROUP.exists():
            _AUTOGROUP.write_text(str(NICE))
    except OSError as error:
        log.info("the gateway is not preferred when the CPU is busy: %s", error)
