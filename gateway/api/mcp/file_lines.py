"""Some lines of a file, as it comes piece by piece; the rest is not read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gateway.api.mcp.budget import cost, prefix
from gateway.api.mcp.failures import ToolFailed

MOST_LOOKED_AT_BYTES = 256 * 1024 * 1024
"""Of a file, for one answer: so far its lines are counted."""

_MARK = "[… the rest of line {} left out: {} bytes; cut -c shows parts of it …]\n"
_MARK_CHARACTERS = 100


@dataclass(frozen=True)
class Lines:
    """`next_line` is where to go on; None at the end of the file. `first_missing`: the file has so
    many lines only, fewer than were skipped."""

    text: str
    next_line: int | None
    first_missing: int | None = None


def lines_of(
    first: bytes, rest: Iterable[bytes], offset: int, limit: int | None, room: int
) -> Lines:
    """The lines from number `offset` (from 1) on, at most `limit` of them and as many as fit into
    `room` characters of JSON. A single one that does not fit is shortened."""
    shown: list[str] = []
    number = 0
    for number, line in enumerate(_each(first, rest, room), 1):
        if number < offset:
            continue
        if limit is not None and len(shown) >= limit:
            return Lines("".join(shown), number)
        text = line.start.decode("utf-8", "replace")
        takes = cost(text)
        if takes > room or line.left_out:
            if shown:
                return Lines("".join(shown), number)
            part = prefix(text, room - _MARK_CHARACTERS)
            left_out = line.left_out + len(text[len(part) :].encode())
            shown.append(f"{part}{_MARK.format(number, left_out)}")
            room = 0
            continue
        room -= takes
        shown.append(text)
    if number < offset and offset > 1:
        return Lines("", None, first_missing=number)
    return Lines("".join(shown), None)


@dataclass(frozen=True)
class _Line:
    start: bytes
    """With its end, if it is all of it."""
    left_out: int = 0


def _each(first: bytes, rest: Iterable[bytes], room: int) -> Iterator[_Line]:
    """Lines, of which no more is held than could be shown."""
    most = 4 * room + 4
    held, left_out, looked_at = bytearray(), 0, 0
    for piece in _pieces(first, rest):
        looked_at += len(piece)
        if looked_at > MOST_LOOKED_AT_BYTES:
            raise ToolFailed(
                f"Lines beyond the first {MOST_LOOKED_AT_BYTES} bytes are not looked for: use "
                "run_command with tail or sed."
            )
        *ended, open_end = piece.split(b"\n")
        for part in ended:
            held += part + b"\n"
            if len(held) > most:
                left_out += len(held) - most
                del held[most:]
            yield _Line(bytes(held), left_out)
            held, left_out = bytearray(), 0
        held += open_end
        if len(held) > most:
            left_out += len(held) - most
            del held[most:]
    if held or left_out:
        yield _Line(bytes(held), left_out)


def _pieces(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
