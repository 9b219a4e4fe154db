"""What commands write: read as it comes, held back for slow readers, let go at the end."""

import os

LOOK_AGAIN_S = 0.05
"""After how long a terminal that nobody had open is looked at again."""


class CommandOutput:
    """Reads the outputs of running commands. `lingering` takes pipes that outlive their command."""

    def __init__(self, loop, retention, lingering):
        self._loop = loop
        self._retention = retention
        self._lingering = lingering

    def attach(self, command):
        """Read what a command writes, from its beginning on."""
        for fd in command.process.outputs:
            self._loop.watch(fd, lambda fd, c=command: self._read(c, fd))

    def _read(self, command, fd):
        before = sum(log.size for _, log in command.logs)
        at_end = not command.readable(fd)
        if command.process.terminal:
            command.process.hung_up = at_end
        if at_end:
            self._at_end(command, fd)
        self._retention.took_in(sum(log.size for _, log in command.logs) - before)
        self.wake(command)
        if not command.wants_input():
            # Held back: with nobody reading the pipe, the command blocks in write(2).
            for output in command.process.outputs:
                self._loop.unwatch(output)

    def resume(self, command):
        """A reader has got on, or gone: perhaps the command need not be held back any more."""
        if command.process is None or command.finished or not command.wants_input():
            return
        for fd in command.process.outputs:
            if not self._loop.is_watched(fd):
                self._loop.watch(fd, lambda fd, c=command: self._read(c, fd))

    def _at_end(self, command, fd):
        """Nobody holds the other end: of a pipe for good, of a terminal for now.

        A program may close its terminal before it exits, as all of coreutils do, or open it again
        by /dev/tty. Closed by us, the terminal would hang up on it (tty_ioctl(4), SIGHUP).
        """
        if not command.process.terminal:
            self._close_output(command, fd)
            return
        self._loop.unwatch(fd)
        self._loop.after(LOOK_AGAIN_S, lambda: self.resume(command))

    def _close_output(self, command, fd):
        self._loop.unwatch(fd)
        if command.process.outputs.pop(fd, None) is None:
            return
        if command.process.terminal:
            command.process.stdin = None
            if command.stdin is not None:
                command.stdin.abandon()
        os.close(fd)

    @staticmethod
    def wake(command):
        """Its readers may have something to send."""
        for reader in command.readers:
            reader.wake()

    def give_up(self, command):
        """Give up its outputs: children in the background may still hold the pipes."""
        for fd in list(command.process.outputs):
            if command.process.terminal:
                self._close_output(command, fd)
            else:
                self._loop.unwatch(fd)
                del command.process.outputs[fd]
                self._lingering.adopt(fd)
