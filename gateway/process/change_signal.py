"""A file that is touched after each change, and that inotify(7) tells other processes of."""

from __future__ import annotations

import ctypes
import logging
import os
from pathlib import Path

import gevent
from gevent import socket as gevent_socket

log = logging.getLogger(__name__)

WITHOUT_INOTIFY_S = 0.05
"""How soon a change is looked for where the kernel gives no more inotify instances to this user."""

_IN_MODIFY = 0x2
_IN_NONBLOCK = os.O_NONBLOCK
_IN_CLOEXEC = os.O_CLOEXEC
_READ_BYTES = 4096


class ChangeSignal:
    """One per process and file. `wait` is for one greenlet at a time.

    Raises OSError when the file cannot be made. Owns two descriptors.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._notices: int | None = None
        try:
            self._notices = _watch(path)
        except OSError as error:
            # The limit is fs.inotify.max_user_instances.
            log.info("changes are looked for every %s s: %s", WITHOUT_INOTIFY_S, error)

    def send(self) -> None:
        """Tell every process that waits, this one too."""
        try:
            os.pwrite(self._file, b"\n", 0)
        except OSError as error:
            log.warning("a change is seen late: %s", error)  # see UNSIGNALLED_S

    def wait(self, timeout_s: float) -> None:
        """Return when there was a signal since the last call, or the time is up, also after
        `close`."""
        notices = self._notices
        if notices is None:
            gevent.sleep(min(timeout_s, WITHOUT_INOTIFY_S))
            return
        try:
            gevent_socket.wait_read(notices, timeout=timeout_s)
        except TimeoutError:
            return
        if self._notices != notices:
            return  # closed meanwhile
        try:
            os.read(notices, _READ_BYTES)  # equal ones that follow each other are one
        except BlockingIOError:
            pass

    def close(self) -> None:
        """May be repeated."""
        for descriptor in (self._file, self._notices):
            if descriptor is not None and descriptor >= 0:
                os.close(descriptor)
        self._file, self._notices = -1, None


def _watch(path: Path) -> int:
    """A descriptor that can be read from when the file was written to."""
    libc = ctypes.CDLL(None, use_errno=True)
    notices: int = libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)
    if notices < 0:
        raise OSError(ctypes.get_errno(), "inotify_init1")
    if libc.inotify_add_watch(notices, os.fsencode(path), _IN_MODIFY) < 0:
        number = ctypes.get_errno()
        os.close(notices)
        raise OSError(number, "inotify_add_watch")
    return notices
