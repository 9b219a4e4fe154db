"""Tell what happens to files, as it does."""

import errno
import os
import select
import stat

from . import paths
from .inotify import Inotify
from .watcher import PAIR_S, Watcher


def watch(channel, message):
    """`watch`: a directory, with all that is below if that is asked for, or one file. Says
    `watching` when it is armed, then events in JSON arrays on stream 1, until it is closed."""
    path = paths.given(message)
    found = paths.opened(path)
    is_directory = stat.S_ISDIR(os.fstat(found).st_mode)
    os.close(found)
    directory, only = (path, None) if is_directory else (path.rpartition(b"/")[0] or b"/", path)
    try:
        inotify = Inotify()
    except OSError as error:
        raise _too_many(error) from None
    closed, closing = os.pipe()
    try:
        channel.on_closed(lambda: os.write(closing, b"\0"))
        watcher = Watcher(inotify, channel, only, bool(message.get("recursive")))
        try:
            watcher.arm(directory)
        except OSError as error:
            raise _too_many(error) from None
        channel.tell(event="watching")
        poll = select.poll()
        poll.register(inotify.fd, select.POLLIN)
        poll.register(closed, select.POLLIN)
        while True:
            ready = dict(poll.poll(None if watcher.is_quiet else PAIR_S * 1000))
            channel.check()
            watcher.look(inotify.fd in ready)
    finally:
        channel.on_closed(None)
        inotify.close()
        os.close(closed)
        os.close(closing)


def _too_many(error):
    if error.errno in (errno.ENOSPC, errno.EMFILE, errno.ENFILE):
        return paths.Refused("too_many_watches", "the kernel's limits of a user are reached")
    return error
