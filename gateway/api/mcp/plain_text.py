"""What a terminal would show of bytes that a command has written: text, without escape sequences.

Each character of it knows how many of the bytes stand before it, so that an answer which ends in
the middle can say where to read on.
"""

from __future__ import annotations

import re
from bisect import bisect_right

LONGEST_SEQUENCE = 4096
"""Characters of a title or a link (OSC) that are still looked for their end."""

_TO_THE_END = rf"[^\x07\x1b\x9c]{{0,{LONGEST_SEQUENCE}}}"
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor (ECMA-48, section 5.4)
    rf"|\x1b\]{_TO_THE_END}(?:\x07|\x1b\\|\x9c)"  # OSC: titles, links
    rf"|\x1b[PX^_]{_TO_THE_END}(?:\x1b\\|\x9c)"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-Z\\^_`-~]"  # two characters, as ESC 7 and ESC ( B
    r"|\x1b"
)
_UNFINISHED = re.compile(
    rf"(?:\x1b(?:\[[0-?]*[ -/]*|[\]PX^_]{_TO_THE_END}\x1b?|[ -/]*)|\x9b[0-?]*[ -/]*)\Z"
)
_SURROGATES = re.compile("[\ud800-\udfff]")


class PlainText:
    """The text of some bytes. With `is_end` False more of them may follow: a character or a
    sequence that is not complete at the end is left out then, unless there is nothing else."""

    def __init__(self, raw: bytes, *, is_end: bool = True) -> None:
        # Bytes that are no UTF-8 become lone surrogates here, one each: they can be counted back.
        decoded = raw.decode("utf-8", "surrogateescape")
        self._source = decoded if is_end else _finished(raw, decoded)
        self._starts: list[int] = []
        """Where, in the text, its pieces between sequences begin, and where in the source."""
        self._sources: list[int] = []
        pieces: list[str] = []
        at = length = 0
        for escape in _ESCAPES.finditer(self._source):
            at = self._piece(pieces, length, at, escape.start(), escape.end())
            length = self._starts[-1] + len(pieces[-1])
        self._piece(pieces, length, at, len(self._source), len(self._source))
        self.text = _SURROGATES.sub("\ufffd", "".join(pieces))

    def _piece(self, pieces: list[str], length: int, start: int, end: int, then: int) -> int:
        pieces.append(self._source[start:end])
        self._starts.append(length)
        self._sources.append(start)
        return then

    def bytes_before(self, character: int) -> int:
        """How many bytes stand before a character of the text or, at its end, all of them."""
        if character >= len(self.text):
            return _length(self._source)
        piece = bisect_right(self._starts, character) - 1
        return _length(self._source[: self._sources[piece] + character - self._starts[piece]])


def _length(text: str) -> int:
    return len(text.encode("utf-8", "surrogateescape"))


def _finished(raw: bytes, decoded: str) -> str:
    """Without a character or a sequence whose rest has not come."""
    whole = decoded
    tail = raw[-3:]
    for size in range(1, len(tail) + 1):
        first = tail[-size]
        if first >= 0xC0:  # the first byte of a character of two bytes or more
            wanted = 2 if first < 0xE0 else 3 if first < 0xF0 else 4
            if size < wanted and first < 0xF8:
                whole = whole[:-size]
            break
        if first < 0x80:
            break
    found = _UNFINISHED.search(whole, max(0, len(whole) - LONGEST_SEQUENCE - 8))
    kept = whole[: found.start()] if found else whole
    return kept or decoded
