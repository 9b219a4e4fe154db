"""What a program has turned on in a terminal, and may not have turned off."""

from __future__ import annotations

import re

_CHANGE = re.compile(rb"\x1b\[\?([0-9;]{1,32})([hl])")
_LONGEST_CHANGE = 40

_WATCHED = {
    *("1047", "1049", "47"),  # the alternate screen
    *("9", "1000", "1002", "1003", "1004", "1005", "1006", "1015"),  # mouse and focus
    *("1", "2004"),  # keys of the cursor, bracketed paste
}
_CURSOR = "25"
"""The only one that is on at first."""


class TerminalModes:
    """Reads what is shown, and knows how to undo it. Undoing what is not on would do harm: leaving
    an alternate screen that nobody entered moves the cursor."""

    def __init__(self) -> None:
        self._on: set[str] = set()
        self._cursor_is_hidden = False
        self._tail = b""

    def shown(self, data: bytes) -> None:
        """Take in what is written to the terminal."""
        text = self._tail + data
        end = 0
        for change in _CHANGE.finditer(text):
            end = change.end()
            for mode in change[1].decode("ascii").split(";"):
                self._take(mode, is_on=change[2] == b"h")
        self._tail = text[max(end, len(text) - _LONGEST_CHANGE) :]

    def _take(self, mode: str, *, is_on: bool) -> None:
        if mode == _CURSOR:
            self._cursor_is_hidden = not is_on
        elif mode in _WATCHED:
            (self._on.add if is_on else self._on.discard)(mode)

    def undoing(self) -> bytes:
        """What brings the terminal back; empty where there is nothing to undo."""
        changes = [f"\x1b[?{mode}l" for mode in sorted(self._on)]
        if self._cursor_is_hidden:
            changes.append("\x1b[?25h")
        return "".join(changes).encode()
