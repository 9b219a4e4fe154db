"""Pipes of finished commands that children in the background still hold."""

import errno
import os
import resource
import select
import signal
import time

from .output import BLOCK

PAUSE_S = 0.01
"""Between two full blocks of one pipe. A flood that nobody reads then takes some 6 MB/s of the
agent's time, and its writer lives on."""

MOST_HANDED_ON = 8
"""Processes that keep pipes empty in the agent's place, thousands each."""


class Lingering:
    """Keeps such pipes empty until nobody holds them, so that no child dies of SIGPIPE or stands
    still; what they write now belongs to no result and is dropped.

    Owns the descriptors, and nothing else of their commands. They are as many as are truly open.
    """

    def __init__(self, loop):
        self._loop = loop
        self._open = set()
        self._helpers = set()

    def adopt(self, fd):
        """Take a descriptor over. It is non-blocking and not watched."""
        self._open.add(fd)
        self._loop.watch(fd, self._drop)

    def _drop(self, fd):
        size = _emptied(fd)
        if size == 0:
            self._loop.unwatch(fd)
            self._open.discard(fd)
            os.close(fd)
        elif size == BLOCK:
            self._loop.unwatch(fd)
            self._loop.after(PAUSE_S, lambda: self._go_on(fd))

    def _go_on(self, fd):
        if fd in self._open and not self._loop.is_watched(fd):
            self._loop.watch(fd, self._drop)

    def hand_on(self):
        """Leave all of them to a process of their own: the agent needs the descriptors. False when
        there are none, or too many such processes. Raises OSError.

        A process can hold a pipe of every command that ever ran, and must not die of that.
        """
        if not self._open or len(self._helpers) >= MOST_HANDED_ON:
            return False
        helper = os.fork()
        if helper == 0:
            try:
                _keep_empty(self._open)
            finally:
                os._exit(0)
        self._helpers.add(helper)
        for fd in self._open:
            self._loop.unwatch(fd)
            os.close(fd)
        self._open = set()
        return True

    def reaped(self, pid):
        """A child has exited; whether it was one of those processes."""
        if pid not in self._helpers:
            return False
        self._helpers.discard(pid)
        return True


def _emptied(fd):
    """Bytes that were in a pipe, a block at most; 0 when nobody holds it, None when it is empty."""
    try:
        return len(os.read(fd, BLOCK))
    except OSError as error:
        return None if error.errno in (errno.EAGAIN, errno.EINTR) else 0


def _keep_empty(pipes):
    """Until nobody holds any of them. Nothing else of the agent stays open here."""
    signal.set_wakeup_fd(-1)
    at = 0
    for fd in [*sorted(pipes), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]:
        os.closerange(at, fd)
        at = fd + 1
    poll = select.poll()
    for fd in pipes:
        poll.register(fd, select.POLLIN)
    left = len(pipes)
    while left:
        full = False
        for fd, _events in poll.poll():
            size = _emptied(fd)
            full = full or size == BLOCK
            if size == 0:
                poll.unregister(fd)
                os.close(fd)
                left -= 1
        if full:
            time.sleep(PAUSE_S)
