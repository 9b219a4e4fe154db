"""Whom the kernel ends when the host runs out of memory: what is in sandboxes, not the gateway.

It goes by size, and adds to each process `oom_score_adj` thousandths of all memory (proc(5)).
"""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)

GATEWAY = -500

_CAP_SYS_RESOURCE = 24


def go_last() -> None:
    """Ask the kernel to spare this process, and those that it forks. Takes CAP_SYS_RESOURCE;
    without it nothing changes."""
    try:
        _file("self").write_text(str(GATEWAY))
    except OSError as error:
        log.info("the gateway is not spared when memory runs out: %s", error)


def go_like_others(pid: int) -> None:
    """Take that back from a child that is another program; what has ended is left alone."""
    try:
        _file(pid).write_text("0")
    except OSError:
        pass


def check(of_sandboxes: int) -> tuple[bool, str]:
    """Whether sandboxes end before this process, and how or why not. `of_sandboxes` is the
    `oom_score_adj` of theirs."""
    try:
        own = int(_file("self").read_text())
        may_lower = _has_capability(_CAP_SYS_RESOURCE)
    except (OSError, ValueError) as error:
        return False, f"unknown: {error}"
    told = f"oom_score_adj: sandboxes {of_sandboxes}, the gateway {own}"
    if own >= of_sandboxes:
        return False, f"{told}: it may go before them"
    if not may_lower:
        # What root without the capability has set may be lowered again by whoever it was set for.
        return False, f"{told}; a sandbox may lower its own to 0: CAP_SYS_RESOURCE is missing"
    return True, told


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "CapEff":
            return bool(int(value, 16) >> number & 1)
    return False


def _file(pid: int | str) -> Path:
    return Path(f"/proc/{pid}/oom_score_adj")
