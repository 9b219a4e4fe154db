"""Pipes of finished commands that children in the background still hold."""

import errno
import os

from .output import BLOCK

PAUSE_S = 0.01
"""Between two full blocks of one pipe. A flood that nobody reads then takes some 6 MB/s of the
agent's time, and its writer lives on."""


class Lingering:
    """Keeps such pipes empty until nobody holds them, so that no child dies of SIGPIPE or stands
    still; what they write now belongs to no result and is dropped.

    Owns the descriptors, and nothing else of their commands. They are as many as are truly open;
    that no more commands begin than there are descriptors for is seen to in `descriptors`.
    """

    def __init__(self, loop):
        self._loop = loop

    def adopt(self, fd):
        """Take a descriptor over. It is non-blocking and not watched."""
        self._loop.watch(fd, self._drop)

    def _drop(self, fd):
        try:
            size = len(os.read(fd, BLOCK))
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EINTR):
                return
            size = 0
        if size == 0:
            self._loop.unwatch(fd)
            os.close(fd)
        elif size == BLOCK:
            self._loop.unwatch(fd)
            self._loop.after(PAUSE_S, lambda: self._loop.watch(fd, self._drop))
