"""How glibc's malloc gives back what is freed.

By itself it lets its threshold for blocks of their own grow with what is freed, up to 32 MiB
(M_MMAP_THRESHOLD, mallopt(3)). Results and messages of some hundred kB then come from the heap,
between small blocks that stay, and what is free between those is never given back: a worker kept
20 MB after 11,000 commands, and more as time went on.
"""

from __future__ import annotations

import ctypes
import logging

log = logging.getLogger(__name__)

OWN_BLOCK_BYTES = 128 * 1024
"""From this size on a block is mapped by itself, and unmapped when it is freed. It is what glibc
begins with; once set, it stays."""

KEPT_BYTES = 256 * 1024
"""So much free memory at the heap's end is kept for the next block."""

MOST_ARENAS = 2
"""Each thread would get a heap of its own, up to eight per core."""

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def give_back_what_is_freed() -> None:
    """Set the thresholds of this process. Where the C library is another one, nothing happens."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    for parameter, value in (
        (_M_MMAP_THRESHOLD, OWN_BLOCK_BYTES),
        (_M_TRIM_THRESHOLD, KEPT_BYTES),
        (_M_ARENA_MAX, MOST_ARENAS),
    ):
        if mallopt(parameter, value) != 1:
            log.warning("malloc did not take its parameter %d", parameter)
