"""Lines of files: exact, bounded, and with the number of the next one."""

from __future__ import annotations

import pytest

from gateway.api.mcp.budget import cost
from gateway.api.mcp.file_lines import lines_of

FILE = b"".join(b"line %d\n" % n for n in range(1, 1001))


@pytest.mark.parametrize("piece", [1 << 20, 1000, 7])
@pytest.mark.parametrize("end", [b"", b"no end of line"])
def test_reading_on_gives_the_whole_file(piece: int, end: bytes) -> None:
    """From each `next_line`, however the bytes come."""
    content = FILE + end
    read, offset = "", 1
    for _ in range(100):
        pieces = iter([content[at : at + piece] for at in range(0, len(content), piece)])
        lines = lines_of(next(pieces), pieces, offset, None, 500)
        assert cost(lines.text) <= 500
        read += lines.text
        if lines.next_line is None:
            break
        offset = lines.next_line

    assert read.encode() == content


def test_a_limit_of_lines_and_a_first_one() -> None:
    """As `sed -n 10,12p`."""
    lines = lines_of(FILE, (), 10, 3, 10_000)

    assert (lines.text, lines.next_line) == ("line 10\nline 11\nline 12\n", 13)
    assert lines_of(FILE, (), 1000, 3, 10_000).next_line is None


def test_a_line_that_is_too_long_is_shortened() -> None:
    """Else there would be no way past it."""
    lines = lines_of(b"a\n" + b"x" * 50_000 + b"\nz\n", (), 2, None, 1000)

    assert lines.text.startswith("xxx")
    assert "the rest of line 2 left out: " in lines.text
    assert cost(lines.text) <= 1000
    assert lines.next_line == 3


def test_a_line_beyond_the_end_says_how_many_there_are() -> None:
    """An empty answer would look like an empty file."""
    assert lines_of(FILE, (), 2000, None, 1000).first_missing == 1000
    assert lines_of(b"", (), 1, None, 1000).first_missing is None
