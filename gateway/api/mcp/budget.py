"""Answers of a bounded size: what a model reads costs it, and too much makes it blind for the rest.

A budget is of characters of JSON, as the text of an answer is written; the structure beside it says
the same and takes as many.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from gateway.api.mcp.plain_text import PlainText

HEAD = 0.25
"""Of what is shown of an output that is too long: the rest of it is the end, where results and
errors stand."""

NEAR = 0.5
"""So much of a piece is kept at least when it is cut at the end of a line."""

MARKER_CHARACTERS = 140
"""At most, of what is said in the place of what was left out."""


def cost(text: str) -> int:
    """Characters that a text takes in JSON."""
    return len(json.dumps(text, ensure_ascii=False)) - 2


@dataclass(frozen=True)
class Kept:
    """What was kept of a stream: its first bytes and its last ones, of `size`. `gap`: not even all
    that was kept is in one piece, for bytes fell out on the way."""

    head: bytes
    tail: bytes
    size: int
    start: int = 0
    """Where the head stands in the stream."""
    gap: bool = False

    @property
    def is_whole(self) -> bool:
        return not self.gap and len(self.head) + len(self.tail) == self.size - self.start


@dataclass(frozen=True)
class Shown:
    """`text` for the answer. `next_offset` is where to read on: behind what is shown, or, where
    something was left out, behind the head."""

    text: str
    next_offset: int
    truncated: bool


def whole_text(kept: Kept, *, is_end: bool) -> str | None:
    """All of it, if all was kept."""
    return PlainText(kept.head + kept.tail, is_end=is_end).text if kept.is_whole else None


def shortened(kept: Kept, room: int, *, stream: str, is_end: bool) -> Shown:
    """What fits into `room` characters of JSON: all, or head, marker and tail."""
    if kept.is_whole:
        plain = PlainText(kept.head + kept.tail, is_end=is_end)
        if cost(plain.text) <= room:
            end = kept.start + plain.bytes_before(len(plain.text))
            return Shown(plain.text, end, truncated=False)
        first, last, last_at = plain, plain, kept.start
    else:
        first = PlainText(kept.head, is_end=False)
        last, last_at = PlainText(_whole_characters(kept.tail)), kept.size - len(kept.tail)
    room = max(0, room - MARKER_CHARACTERS)
    head = prefix(first.text, int(room * HEAD))
    tail = suffix(last.text, room - cost(head))
    head_end = kept.start + first.bytes_before(len(head))
    tail_at = last_at + last.bytes_before(len(last.text) - len(tail))
    marker = (
        f"\n[… {max(0, tail_at - head_end)} bytes of {stream} left out here; read on with "
        f'read_output, stream "{stream}", offset {head_end} …]\n'
    )
    return Shown(head + marker + tail, head_end, truncated=True)


def prefix(text: str, room: int) -> str:
    """The longest beginning that fits, to the end of a line where one is near."""
    kept = text[: _fitting(room, len(text), lambda size: cost(text[:size]))]
    if len(kept) == len(text):
        return kept
    line = kept.rfind("\n") + 1
    return kept[:line] if line >= len(kept) * NEAR and line else kept


def suffix(text: str, room: int) -> str:
    """The longest end that fits, from the beginning of a line where one is near."""
    size = _fitting(room, len(text), lambda size: cost(text[len(text) - size :]))
    kept = text[len(text) - size :]
    if len(kept) == len(text):
        return kept
    line = kept.find("\n") + 1
    return kept[line:] if 0 < line <= len(kept) * NEAR else kept


def _fitting(room: int, most: int, cost_of: object) -> int:
    """How many characters cost no more than `room`."""
    assert callable(cost_of)
    low, high = 0, min(most, max(0, room))
    while low < high:
        middle = (low + high + 1) // 2
        if cost_of(middle) <= room:
            low = middle
        else:
            high = middle - 1
    return low


def _whole_characters(raw: bytes) -> bytes:
    """Without the rest of a character whose first byte was not kept."""
    for start in range(min(3, len(raw))):
        if raw[start] & 0xC0 != 0x80:
            return raw[start:]
    return raw[3:] if len(raw) >= 3 else raw


def rooms(costs: tuple[int, int], room: int) -> tuple[int, int]:
    """Of `room`, what stdout and stderr get, which would take `costs`: errors are short as a rule,
    and get a quarter where both are long."""
    stdout, stderr = costs
    for_stderr = min(stderr, max(room // 4, room - stdout))
    return min(stdout, room - for_stderr), for_stderr
