"""Decisions about disk space: pure functions of what was measured."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway.settings import MIB

BYTES_PER_INODE = 16 * 1024
"""As mkfs.ext4 does by default; the tables take 1.6 % of the disk."""

MARGIN = 1.25
"""The floor is defended from above: between two looks a sandbox writes on. With 2 GiB that is
512 MiB in a second."""

WORTH_ENDING_BYTES = 16 * MIB
"""Ending the sandboxes of an owner who wrote less in all gives nothing back."""

_EMPTY_BYTES = MIB
"""Ending a sandbox that wrote less gives nothing back, however many its owner has: the file system
of an empty one takes some 100 KiB."""


@dataclass(frozen=True)
class Written:
    """What one sandbox has on the disk."""

    sandbox_id: str
    used_bytes: int
    used_inodes: int = 0
    limit_mb: int | None = None
    owner: str = ""
    """Name of the API key it belongs to; "" without keys: then it stands for itself."""


def inodes_for(disk_mb: int) -> int:
    """Files and directories that go with a limit in MiB."""
    return disk_mb * MIB // BYTES_PER_INODE


def over_limit(all_written: Iterable[Written]) -> list[Written]:
    """Those beyond their own limit, in bytes or in files."""
    return [written for written in all_written if _is_over(written)]


def _is_over(written: Written) -> bool:
    if written.limit_mb is None:
        return False
    return written.used_bytes > written.limit_mb * MIB or written.used_inodes > inodes_for(
        written.limit_mb
    )


def is_low(free_bytes: int, floor_mb: int) -> bool:
    """Whether no sandbox may be created any more."""
    return free_bytes < floor_mb * MIB * MARGIN


def to_end(all_written: Iterable[Written], *, free_bytes: int, floor_mb: int) -> list[Written]:
    """Who has to go so that the floor holds, and no more than it takes: each time the largest
    sandbox of the owner whose sandboxes wrote most in all.

    By owner, because one who spreads what it writes over many sandboxes would otherwise have the
    sandbox of somebody else ended. A sandbox without an owner counts as an owner of its own, so
    that without keys the largest goes first.
    """
    piles: dict[tuple[str, str], list[Written]] = {}
    for written in sorted(all_written, key=lambda one: one.used_bytes):
        if written.used_bytes >= _EMPTY_BYTES:
            piles.setdefault(_whose(written), []).append(written)
    sums = {owner: sum(one.used_bytes for one in pile) for owner, pile in piles.items()}
    ending = []
    while is_low(free_bytes, floor_mb) and sums:
        owner = max(sums, key=lambda one: sums[one])
        if sums[owner] < WORTH_ENDING_BYTES:
            break
        largest = piles[owner].pop()
        ending.append(largest)
        free_bytes += largest.used_bytes
        sums[owner] -= largest.used_bytes
    return ending


def _whose(written: Written) -> tuple[str, str]:
    return (written.owner, "") if written.owner else ("", written.sandbox_id)
