"""Who has to go when disk space runs out."""

from __future__ import annotations

from gateway.host.disk_rules import (
    MARGIN,
    WORTH_ENDING_BYTES,
    Written,
    inodes_for,
    is_low,
    over_limit,
    to_end,
)
from gateway.settings import MIB

GIB = 1024 * MIB
FLOOR_MB = 2048


def test_those_beyond_their_own_limit_are_found() -> None:
    """By bytes or by files; exactly at the limit is allowed, and no limit is no limit."""
    fine = Written("fine", 100 * MIB, inodes_for(100), 100)
    bytes_over = Written("bytes", 100 * MIB + 1, 0, 100)
    files_over = Written("files", 0, inodes_for(100) + 1, 100)
    free = Written("free", 1000 * GIB, 10**9, None)

    assert over_limit([fine, bytes_over, files_over, free]) == [bytes_over, files_over]


def test_nobody_ends_while_there_is_room() -> None:
    """However much somebody has written within their limit."""
    assert to_end([Written("a", 50 * GIB)], free_bytes=3 * GIB, floor_mb=FLOOR_MB) == []


def test_the_largest_writers_end_and_no_more_than_needed() -> None:
    """Small ones that have nothing to do with it are left alone."""
    a, b, c = Written("a", GIB), Written("b", 3 * GIB), Written("c", 2 * GIB)

    assert to_end([a, b, c], free_bytes=2 * GIB, floor_mb=FLOOR_MB) == [b]
    assert to_end([a, c, b], free_bytes=0, floor_mb=FLOOR_MB) == [b]
    assert to_end([a, c], free_bytes=0, floor_mb=FLOOR_MB) == [c, a]


def test_who_wrote_next_to_nothing_never_ends() -> None:
    """When something else fills the disk, ending all sandboxes would not help."""
    small = [Written(str(n), WORTH_ENDING_BYTES - 1) for n in range(3)]

    assert to_end(small, free_bytes=0, floor_mb=FLOOR_MB) == []


def test_the_floor_is_defended_from_above() -> None:
    """Between two looks a writer goes on."""
    assert is_low(FLOOR_MB * MIB, FLOOR_MB)
    assert not is_low(int(FLOOR_MB * MIB * MARGIN), FLOOR_MB)
    assert not is_low(0, 0)


def test_what_an_owner_spreads_counts_together() -> None:
    """Ten sandboxes of 1 GiB wrote more than somebody else's one of 3 GiB."""
    spread = [Written(f"a{n}", GIB + n, owner="a") for n in range(10)]
    single = Written("b", 3 * GIB, owner="b")

    ending = to_end([single, *spread], free_bytes=GIB, floor_mb=FLOOR_MB)

    assert [one.sandbox_id for one in ending] == ["a9", "a8"]


def test_an_owner_may_become_the_smaller_one() -> None:
    """From then on the other's go: nobody pays for more than they have in excess."""
    a = [Written("a1", 2 * GIB, owner="a"), Written("a2", 2 * GIB, owner="a")]
    b = [Written("b1", 3 * GIB, owner="b")]

    ending = to_end(a + b, free_bytes=0, floor_mb=4 * FLOOR_MB)

    assert [one.sandbox_id for one in ending] == ["a2", "b1", "a1"]


def test_pieces_below_what_is_worth_ending_count_together_too() -> None:
    """Otherwise small pieces would be the way to have others ended."""
    pieces = [Written(f"a{n:03}", WORTH_ENDING_BYTES - 1, owner="a") for n in range(200)]
    other = Written("b", 2 * GIB, owner="b")

    ending = to_end([other, *pieces], free_bytes=2 * GIB, floor_mb=FLOOR_MB)

    assert {one.owner for one in ending} == {"a"}
    assert len(ending) == 33  # 512 MiB in pieces of nearly 16


def test_empty_sandboxes_never_end() -> None:
    """Five hundred that wrote nothing have the size of their file systems, in vain to free."""
    empty = [Written(f"a{n}", 100 * 1024, owner="a") for n in range(500)]

    assert to_end(empty, free_bytes=0, floor_mb=FLOOR_MB) == []


def test_without_owners_each_sandbox_stands_for_itself() -> None:
    """Without keys nobody knows whose they are, and the largest goes first."""
    many = [Written(f"a{n}", GIB) for n in range(5)]
    large = Written("b", 2 * GIB)

    assert to_end([*many, large], free_bytes=GIB, floor_mb=FLOOR_MB) == [large]
