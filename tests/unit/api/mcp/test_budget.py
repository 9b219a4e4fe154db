"""No answer is longer than its budget, and each says where to read on."""

from __future__ import annotations

import json

import pytest

from gateway.api.mcp.budget import Kept, cost, rooms, shortened
from gateway.api.mcp.kept_output import HeadAndTail
from gateway.schemas.command_event import Gap, Output

ROOM = 1000
LINES = b"".join(b"line %d\n" % n for n in range(5000))


@pytest.mark.parametrize(
    "raw",
    [
        LINES,
        b"x" * 100_000,
        "è€😀".encode() * 20_000,
        b'"\\\n\t' * 20_000,
        b"\x00\x01\x02" * 20_000,
        b"\x1b[31mred\x1b[0m " * 20_000,
    ],
    ids=["lines", "one line", "characters", "escaped", "control", "coloured"],
)
@pytest.mark.parametrize("kept_bytes", [300, 4000])
def test_a_long_output_fits_and_says_where_to_read_on(raw: bytes, kept_bytes: int) -> None:
    """Head a quarter, the end three; in between, what is missing and how to get it."""
    stream = HeadAndTail(kept_bytes, kept_bytes)
    for start in range(0, len(raw), 7000):
        stream.take(Output(1, start, raw[start : start + 7000]))

    shown = shortened(stream.kept(), ROOM, stream="stdout", is_end=True)

    assert len(json.dumps(shown.text, ensure_ascii=False)) - 2 <= ROOM
    assert shown.truncated
    assert f"offset {shown.next_offset} …]" in shown.text
    head = shown.text.partition("\n[…")[0]
    assert cost(head) <= ROOM / 4
    assert 0 < shown.next_offset < len(raw)


def test_lines_are_not_cut_and_the_numbers_are_right() -> None:
    """What is left out is exactly what lies between what is shown."""
    shown = shortened(Kept(LINES, b"", len(LINES)), ROOM, stream="stdout", is_end=True)
    head, _, rest = shown.text.partition("\n[… ")
    left_out, _, rest = rest.partition(" bytes")
    tail = rest.partition("…]\n")[2]

    assert head.encode() == LINES[: shown.next_offset]
    assert LINES.endswith(tail.encode())
    assert len(head) + int(left_out) + len(tail) == len(LINES)
    assert head.endswith("\n")
    assert tail.startswith("line ")
    assert len(tail) > 2 * len(head)


def test_what_fits_is_shown_in_whole() -> None:
    """Also in exactly the room that it takes."""
    shown = shortened(Kept(b"a\nb", b"c", 4), 5, stream="stdout", is_end=True)

    assert (shown.text, shown.next_offset, shown.truncated) == ("a\nbc", 4, False)


def test_bytes_that_fell_out_on_the_way_are_not_passed_over() -> None:
    """The head is what came before them."""
    stream = HeadAndTail(100, 100)
    stream.take(Output(1, 0, b"begin\n"))
    stream.take(Gap(1, 6, 5000))
    stream.take(Output(1, 5000, b"end\n"))

    shown = shortened(stream.kept(), ROOM, stream="stdout", is_end=True)

    assert shown.text.startswith("begin\n\n[… 4994 bytes of stdout left out")
    assert shown.text.endswith("end\n")
    assert shown.next_offset == 6


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ((10, 10), (10, 10)),
        ((5000, 10), (990, 10)),
        ((10, 5000), (10, 990)),
        ((5000, 5000), (750, 250)),
    ],
)
def test_both_streams_share_one_budget(costs: tuple[int, int], expected: tuple[int, int]) -> None:
    """What one does not need, the other has."""
    assert rooms(costs, ROOM) == expected
