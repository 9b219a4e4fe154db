"""Where stdin, stdout and stderr of a session's commands come from and go to.

Bash opens the agent's ends of a command's pipes by their addresses in /proc (/proc/pid/fd,
proc(5)). So output never mixes, and a background child of an earlier command keeps an earlier pipe.
"""

import os
from collections import OrderedDict

from gateway.protocol import streams

from .session_script import KEPT

REMEMBERED_PIPES = 1024
"""By which it is known that the user has put a stream back (`exec 3>&1 >file`, `exec >&3`)."""

USER = -1
"""A stream that the user has sent elsewhere."""


class SessionStreams:
    """Lends pipes to the shell `pid`, one command after the other."""

    def __init__(self, pid):
        self._pid = pid
        self._lent = []
        self._ends = {}
        self._pipes = OrderedDict()
        self._goes = {1: streams.STDOUT, 2: streams.STDERR}

    def lend(self, with_stdin):
        """Make the pipes of a command: (outputs, write end of its stdin, path of its stdin).

        Raises OSError when there is no descriptor left.
        """
        pipes = []
        try:
            for _ in range(3 if with_stdin else 2):
                pipes.append(os.pipe())
        except OSError:
            for fd in [end for pipe in pipes for end in pipe]:
                os.close(fd)
            raise
        (read_out, write_out), (read_err, write_err) = pipes[:2]
        self._ends = {streams.STDOUT: write_out, streams.STDERR: write_err}
        self._lent = [write_out, write_err]
        for stream, fd in self._ends.items():
            self._pipes["pipe:[%d]" % os.fstat(fd).st_ino] = stream
        while len(self._pipes) > REMEMBERED_PIPES:
            self._pipes.popitem(last=False)
        outputs = {read_out: streams.STDOUT, read_err: streams.STDERR}
        if not with_stdin:
            return outputs, None, "/dev/null"
        read_in, write_in = pipes[2]
        self._lent.append(read_in)
        return outputs, write_in, _path(read_in)

    def take_back(self):
        """The command has ended: close the shell's ends of its pipes."""
        for fd in self._lent:
            os.close(fd)
        self._lent = []

    def paths(self):
        """What the shell opens its stdout (1) and stderr (2) from; None where the user chose."""
        return {
            fd: None if stream == USER else _path(self._ends[stream])
            for fd, stream in self._goes.items()
        }

    def put_back(self):
        """The descriptors that the shell has kept of a stream which is no longer sent elsewhere."""
        return [
            kept
            for fd, kept in KEPT.items()
            if self._goes[fd] != USER and self._kept(fd) is not None
        ]

    def look_where_they_go(self):
        """Notice where the user has sent stdout and stderr, or put them back."""
        for fd in (1, 2):
            target = self._kept(fd)
            if target is not None:
                self._goes[fd] = self._pipes.get(target, USER)

    def _kept(self, fd):
        """What the shell has kept of a stream that the user changed, as /proc names it."""
        try:
            return os.readlink("/proc/%d/fd/%d" % (self._pid, KEPT[fd]))
        except OSError:
            return None


def _path(fd):
    """Where another process of this user finds one of the agent's descriptors."""
    return "/proc/%d/fd/%d" % (os.getpid(), fd)
