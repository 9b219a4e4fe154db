"""Signals for commands, and the end of their time."""

import signal

from . import proctree


class CommandSignals:
    """Signals whole process trees. `others_run(command)` tells whether further commands run;
    `stops` knows how sessions end theirs."""

    def __init__(self, loop, limits, stops, others_run):
        self._loop = loop
        self._limits = limits
        self._stops = stops
        self._others_run = others_run

    def send(self, command, number):
        """Send a signal to the command's whole process tree; how many processes got it."""
        if command.session is not None and not command.finished:
            return self._stops.send(command, number)
        if command.pid is None or command.finished:
            return 0
        if number == signal.SIGKILL or proctree.ends_by(command.pid, number):
            command.fatal_signal = number
        return self._signal_tree(command, command.pid, number)

    def _signal_tree(self, command, root, number):
        def look():
            return proctree.members(root, command.mark, self._alone_since(command))

        if number == signal.SIGKILL:
            return proctree.kill_all(look, root)
        return proctree.send(look(), number, root)

    def time_out(self, command):
        """A command's time is up: TERM, and after the grace KILL; or that at once."""
        if command.finished:
            return
        command.timed_out = True
        if command.start.kills and command.session is None:
            self._end_tree(command, signal.SIGKILL)
            return
        if command.session is not None:
            self._stops.time_out(command, self._limits.kill_grace_s)
            return
        self._end_tree(command, signal.SIGTERM)
        self._loop.after(self._limits.kill_grace_s, lambda: self._end_tree(command, signal.SIGKILL))

    def _end_tree(self, command, number):
        """Signal the tree, of which TERM's survivors may live on when the command itself ended.

        Its pid may have been given to another process then.
        """
        self._signal_tree(command, None if command.finished else command.pid, number)

    def _alone_since(self, command):
        """Since when unmarked orphans can only be this command's, or None when others run."""
        if self._others_run(command):
            return None
        if command.start_ticks is None and not command.finished:
            command.start_ticks = proctree.start_ticks(command.pid)
        return command.start_ticks
