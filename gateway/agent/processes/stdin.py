"""What is to be written to a command's standard input, and has not been taken yet."""

import errno
import os
import termios
import time

from .terminal_line import TerminalLine

BUFFER_BYTES = 256 * 1024
"""More is not accepted before the command has read some; writers wait for their answer."""

REMEMBERED_WRITES = 128

LINE_GRACE_S = 1.0
"""How long a line that is too long waits for its terminal's program to read without lines: that
may have been started by the line before."""

END_OF_FILE = b"\x04"
"""What ends input on a terminal that was not told another character (termios(3), VEOF)."""


class StdinClosed(Exception):
    """The command has no standard input, or its end was written already."""


class LineTooLong(Exception):
    """A terminal's line takes no more, and would drop what is over."""


class Stdin:
    """The buffer before one descriptor. Writers are answered when their bytes are accepted."""

    def __init__(self, fd, terminal):
        self.fd = fd
        self._terminal = terminal
        self._buffer = bytearray()
        self._waiting = []
        self._seen = []
        self._ended = False
        self._line_is_open = False
        self._end_is_due = False
        """Whether a terminal is to be told that its input ends, after what is in the buffer."""
        self._line = TerminalLine(fd) if terminal else None
        self._held = _Grace()
        """Of a write whose line is too long."""
        self._stuck = _Grace()
        """Of a line in the buffer that has become too long."""
        self._cut = False
        """Whether the rest of a line was dropped, and nobody has been told."""
        self.retrying = False
        """Whether another try to flush has been planned."""

    def write(self, write_id, data, end, accepted, too_long=lambda: None):
        """Queue `data`, then the end of the stream if `end`; `accepted()` is called once there is
        room for it, or `too_long()` when it is not written because a terminal's line takes no more.
        A write that is sent again, after a lost link, is not written twice.

        Raises StdinClosed, and LineTooLong when an earlier write turned out to be too long.
        """
        if write_id in self._seen:
            accepted()
            return
        if self._ended or self.fd is None:
            raise StdinClosed()
        if self._cut:
            self._cut = False
            raise LineTooLong()
        self._seen.append(write_id)
        del self._seen[:-REMEMBERED_WRITES]
        self._ended = end and not self._terminal
        self._waiting.append((write_id, data, end, accepted, too_long))
        self._admit()

    def end_again(self):
        """Let the terminal's next reader come to the end of its input, too."""
        if self.fd is not None and not self.wants_to_write:
            self._end_is_due = True

    def _end(self):
        """Within a line, the first end only hands over what stands before it (termios(3))."""
        character, by_line = END_OF_FILE, True
        try:
            modes = termios.tcgetattr(self.fd)
            by_line = bool(modes[3] & termios.ICANON)
            character = modes[6][termios.VEOF] if by_line else character
        except termios.error:
            pass
        # Looked at right before it is written: the program may choose another character (stty(1)).
        is_open, self._line_is_open = self._line_is_open, False
        return character * 2 if is_open and by_line else character

    def _admit(self):
        while self._waiting and len(self._buffer) < BUFFER_BYTES and not self._end_is_due:
            write_id, data, end, accepted, too_long = self._waiting[0]
            if self._line is not None and not self._line_takes(data):
                if self._held.goes_on():
                    return
                self._waiting.pop(0)
                if write_id in self._seen:
                    self._seen.remove(write_id)
                too_long()
                continue
            self._waiting.pop(0)
            self._buffer += data
            if data:
                self._line_is_open = not data.endswith(b"\n")
            self._end_is_due = end and self._terminal
            accepted()

    def _line_takes(self, data):
        """Whether no line becomes too long by it, as the terminal is set now."""
        pending = bytes(self._buffer) + data
        takes = self._line.room_for(pending) == len(pending)
        if takes:
            self._held.end()
        return takes

    @property
    def wants_to_write(self):
        """Whether the loop should wait for the descriptor to become writable."""
        return self.fd is not None and bool(self._buffer or self._held.runs or self._end_is_due)

    @property
    def at_end(self):
        """Whether everything has been written and the descriptor is to be closed."""
        return self._ended and not self._buffer and not self._waiting

    def flush(self):
        """Write what the pipe takes. False when nobody reads it any more."""
        self._admit()
        while self._buffer or self._end_is_due:
            if not self._buffer:
                self._buffer += self._end()
                self._end_is_due = False
            size = self._writable()
            if size == 0:
                return True
            try:
                written = os.write(self.fd, self._buffer[:size])
            except OSError as error:
                return error.errno in (errno.EAGAIN, errno.EINTR)
            if self._line is not None:
                self._line.wrote(self._buffer[:written])
            del self._buffer[:written]
            self._admit()
        return True

    def _writable(self):
        """How many bytes of the buffer may be written now; 0 while a line that is too long waits.

        It had room when it was accepted: the terminal has been set back to lines meanwhile.
        """
        size = min(len(self._buffer), 65536)
        if self._line is None:
            return size
        room = self._line.room_for(self._buffer[:size])
        if room:
            self._stuck.end()
        if room or self._stuck.goes_on():
            return room
        del self._buffer[: self._line.rest_of_line(self._buffer)]
        self._cut = True
        return min(len(self._buffer), 1)

    def abandon(self):
        """The descriptor is gone: what was not written never will be. Writers are answered."""
        self.fd = None
        self._buffer = bytearray()
        waiting, self._waiting = self._waiting, []
        for _id, _data, _end, accepted, _too_long in waiting:
            accepted()


class _Grace:
    """The time that a line which is too long may still wait."""

    def __init__(self):
        self._since = None

    @property
    def runs(self):
        return self._since is not None

    def goes_on(self):
        """Begin it, if it does not run. False, and it has ended, when it is over."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since < LINE_GRACE_S:
            return True
        self._since = None
        return False

    def end(self):
        self._since = None
