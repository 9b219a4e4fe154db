"""What commands are given to read: written as they take it, and ended."""

import os

from ..loop import WRITE
from .process import terminal_has_input
from .stdin import Stdin, StdinClosed

END_AGAIN_S, END_AGAIN_MOST_S = 0.05, 1.0
"""How often a terminal whose input has ended for good is looked at; less often each time."""


class CommandInput:
    """Writes to the standard input of running commands, when they can take it."""

    def __init__(self, loop):
        self._loop = loop

    def attach(self, command):
        """Take over a command's input, and write what the command came with."""
        if command.process.stdin is None:
            return
        command.stdin = Stdin(command.process.stdin, command.process.terminal)
        if command.input is None:
            return
        (data, end), command.input = command.input, None
        command.stdin.write(b"", data, end, lambda: None)
        self._flush(command)
        if end and command.process.terminal:
            self._loop.after(END_AGAIN_S, lambda: self._end_again(command, END_AGAIN_S))

    def write(self, command, write_id, data, end, accepted, too_long):
        """Write to the command's stdin; see `Stdin.write`. Raises StdinClosed and LineTooLong."""
        if command.stdin is None or command.finished:
            raise StdinClosed()
        command.stdin.write(write_id, data, end, accepted, too_long)
        self._flush(command)

    def _flush(self, command):
        stdin = command.stdin
        if stdin is None or stdin.fd is None:
            return
        if not stdin.flush() or stdin.at_end:
            self.end(command)
        elif not command.process.terminal:
            watched = self._loop.is_watched(stdin.fd)
            if stdin.wants_to_write and not watched:
                self._loop.watch(stdin.fd, lambda fd: self._flush(command), WRITE)
            elif watched and not stdin.wants_to_write:
                self._loop.unwatch(stdin.fd)
        elif stdin.wants_to_write and not stdin.retrying:
            # The terminal's descriptor is being watched for its output: try again soon.
            stdin.retrying = True
            self._loop.after(0.01, lambda: self._retry(command))

    def _retry(self, command):
        if command.stdin is not None:
            command.stdin.retrying = False
            self._flush(command)

    def _end_again(self, command, pause_s):
        """A pipe at its end stays there; a terminal tells one reader only. So the next one that
        waits is told again."""
        stdin = command.stdin
        if command.finished or stdin is None or stdin.fd is None:
            return
        if not stdin.wants_to_write and not terminal_has_input(stdin.fd):
            stdin.end_again()
            self._flush(command)
            pause_s = min(2 * pause_s, END_AGAIN_MOST_S)
        self._loop.after(pause_s, lambda: self._end_again(command, pause_s))

    def end(self, command):
        """Close a command's input; what it has not taken yet is dropped."""
        stdin = command.stdin
        if stdin is None or stdin.fd is None:
            return
        fd = stdin.fd
        stdin.abandon()
        if not command.process.terminal:
            self._loop.unwatch(fd)
            os.close(fd)
