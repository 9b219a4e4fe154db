"""What is to be written to a command's standard input, and has not been taken yet."""

import errno
import os
import termios

BUFFER_BYTES = 256 * 1024
"""More is not accepted before the command has read some; writers wait for their answer."""

REMEMBERED_WRITES = 64

END_OF_FILE = b"\x04"
"""What ends input on a terminal that was not told another character (termios(3), VEOF)."""


class StdinClosed(Exception):
    """The command has no standard input, or its end was written already."""


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
        self.retrying = False
        """Whether another try to flush has been planned."""

    def write(self, write_id, data, end, accepted):
        """Queue `data`, then the end of the stream if `end`; `accepted()` is called once there is
        room for it. A write that is sent again, after a lost link, is not written twice.

        Raises StdinClosed.
        """
        if write_id in self._seen:
            accepted()
            return
        if self._ended or self.fd is None:
            raise StdinClosed()
        self._seen.append(write_id)
        del self._seen[:-REMEMBERED_WRITES]
        if data:
            self._line_is_open = not data.endswith(b"\n")
        if end:
            self._ended = not self._terminal
            if self._terminal:
                data += self._end()
        self._waiting.append((data, accepted))
        self._admit()

    def end_again(self):
        """Let the terminal's next reader come to the end of its input, too."""
        if self.fd is not None and not self.wants_to_write:
            self._buffer += self._end()

    def _end(self):
        """Within a line, the first end only hands over what stands before it (termios(3))."""
        character, by_line = END_OF_FILE, True
        try:
            modes = termios.tcgetattr(self.fd)
            by_line = bool(modes[3] & termios.ICANON)
            character = modes[6][termios.VEOF] if by_line else character
        except termios.error:
            pass
        is_open, self._line_is_open = self._line_is_open, False
        return character * 2 if is_open and by_line else character

    def _admit(self):
        while self._waiting and len(self._buffer) < BUFFER_BYTES:
            data, accepted = self._waiting.pop(0)
            self._buffer += data
            accepted()

    @property
    def wants_to_write(self):
        """Whether the loop should wait for the descriptor to become writable."""
        return self.fd is not None and bool(self._buffer)

    @property
    def at_end(self):
        """Whether everything has been written and the descriptor is to be closed."""
        return self._ended and not self._buffer and not self._waiting

    def flush(self):
        """Write what the pipe takes. False when nobody reads it any more."""
        while self._buffer:
            try:
                written = os.write(self.fd, self._buffer[:65536])
            except OSError as error:
                return error.errno in (errno.EAGAIN, errno.EINTR)
            del self._buffer[:written]
            self._admit()
        return True

    def abandon(self):
        """The descriptor is gone: what was not written never will be. Writers are answered."""
        self.fd = None
        self._buffer = bytearray()
        waiting, self._waiting = self._waiting, []
        for _data, accepted in waiting:
            accepted()
