"""The line that a terminal puts together before its program may read it (termios(3), ICANON).

It takes 4,095 bytes and drops what comes after them, without a word. So no more is written to it.
A program that reads byte by byte has no lines, and takes any length.
"""

import re
import termios

LONGEST_LINE = 4095

_ENDING = (termios.VEOF, termios.VEOL, termios.VEOL2, termios.VKILL)
_INTERRUPTING = (termios.VINTR, termios.VQUIT, termios.VSUSP)
"""Characters after which a line is empty, besides the line feed."""


class TerminalLine:
    """How long the line is that was begun on a terminal, `fd` of which is the other side."""

    def __init__(self, fd):
        self._fd = fd
        self._length = 0

    def room_for(self, data):
        """How many bytes of `data` can be written now so that no line becomes too long.

        Less than a line that comes to its end within `data` only if that is too long.
        """
        ends = self._ends()
        if ends is None:
            self._length = 0
            return len(data)
        begin, length = 0, self._length
        for match in ends.finditer(data):
            if length + match.start() - begin > LONGEST_LINE:
                return begin + LONGEST_LINE - length
            begin, length = match.end(), 0
        return min(len(data), begin + LONGEST_LINE - length)

    def wrote(self, data):
        """It was written."""
        ends = self._ends()
        if ends is None:
            self._length = 0
            return
        begun = ends.split(data)
        self._length = len(begun[-1]) + (self._length if len(begun) == 1 else 0)

    def rest_of_line(self, data):
        """How many bytes of `data` belong to the line that was begun, without what ends it."""
        ends = self._ends()
        match = None if ends is None else ends.search(data)
        return len(data) if match is None else match.start()

    def _ends(self):
        """A pattern of what ends a line, or None where the program has no lines."""
        try:
            modes = termios.tcgetattr(self._fd)
        except termios.error:
            return None
        taken_in, local, characters = modes[0], modes[3], modes[6]
        if not local & termios.ICANON:
            return None
        chosen = _ENDING + (_INTERRUPTING if local & termios.ISIG else ())
        ends = {b"\n", *(characters[place] for place in chosen)} - {b"\0"}
        if taken_in & termios.ICRNL:
            ends.add(b"\r")
        return re.compile(b"[" + b"".join(re.escape(end) for end in sorted(ends)) + b"]")
