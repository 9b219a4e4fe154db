"""How much of a command's output may be under way, by how many its owner follows at a time."""

from __future__ import annotations

from gateway.link.collector import EAGER_CREDIT
from gateway.link.follower import WINDOW

SHARED_WINDOW_BYTES = 1024 * 1024
SMALLEST_WINDOW_BYTES = 16 * 1024
"""Over a link that answers in half a millisecond these are still 30 MB/s."""

EAGER_COMMANDS = 32
SMALL_CREDIT = 4096


def most_for(streams: int) -> int:
    """Bytes of each stream for the last of so many: what an owner's followers hold together grows
    with the logarithm of their number first, and then by the smallest window for each."""
    return max(SMALLEST_WINDOW_BYTES, min(WINDOW, SHARED_WINDOW_BYTES // max(1, streams)))


def eager_credit_of(commands: int) -> int:
    """Bytes of each stream that come with the end of the last of so many commands, before it is
    asked whether there is room for them."""
    return EAGER_CREDIT if commands <= EAGER_COMMANDS else SMALL_CREDIT
