"""A channel that writes to a command's standard input."""

from collections import deque

from gateway.protocol import frames, streams

from ..links.channel import Use
from ..processes.stdin import LineTooLong, StdinClosed

TOO_LONG = "line_too_long"


class InputWrite(Use):
    """Writes what comes on stream 0, piece by piece, and gives credit for each piece that the
    command's input has taken in. At the stream's end, and with `end` at that of the command's
    input, it says that all is done.

    A piece is known by `write_id` and its offset: sent again after a lost link, it is not written
    twice.
    """

    def __init__(self, channel, command_input, command, write_id, end):
        self._channel = channel
        self._input = command_input
        self._command = command
        self._id = write_id
        self._end = end
        self._pieces = deque()
        """(offset, data, whether the input ends there), as they came; no more than there was
        credit for."""
        self._writing = False
        self._size = 0
        """Bytes of the piece that is being written."""
        self._whole = False

    def received(self, stream, offset, data):
        """A piece has come."""
        if stream != streams.STDIN:
            raise frames.FrameError("input on stream %d" % stream)
        self._pieces.append((offset, data, False))
        self._write()

    def ended(self, stream, offset):
        """No more will come."""
        self._whole = True
        if self._end:
            self._pieces.append((offset, b"", True))
        self._write()

    def closed(self):
        """What waits here is not written; what the command's input holds already is."""
        self._pieces.clear()
        self.done = True

    def _write(self):
        """Hand over the next piece, one at a time: after one that is refused none is written."""
        while self._pieces and not self._writing and not self.done:
            offset, data, end = self._pieces.popleft()
            self._writing, self._size = True, len(data)
            try:
                self._input.write(
                    self._command,
                    (self._id, offset, end),
                    data,
                    end,
                    self._accepted,
                    lambda: self._refuse(TOO_LONG, ""),
                )
            except LineTooLong:
                self._refuse(TOO_LONG, "of what was written before, the end of a line")
            except StdinClosed:
                if self._command.finished:
                    self._refuse("command_finished", "the command has ended")
                else:
                    self._refuse("no_stdin", "the command takes no input, or not any more")
        if self._whole and not self._pieces and not self._writing and not self.done:
            self._channel.tell(event="done")
            self._finish()

    def _accepted(self):
        self._writing = False
        if self.done:
            return
        if self._size:
            self._channel.grant(streams.STDIN, self._size)
        self._write()

    def _refuse(self, code, detail):
        if not self.done:
            self._channel.refuse(code, detail)
            self._finish()

    def _finish(self):
        self.done = True
        self._channel.close()
