"""Tell what happens to files, as it does."""

import contextlib
import errno
import os
import select
import stat

from . import paths, plain_watcher, records, watcher
from .inotify import Inotify
from .told_events import ToldEvents


def watch(channel, message):
    """`watch`: a directory, with all that is below if that is asked for, or one file. Says
    `watching` when it is armed, then events in JSON arrays on stream 1, until it is closed."""
    path = paths.given(message)
    found = paths.opened(path)
    is_directory = stat.S_ISDIR(os.fstat(found).st_mode)
    os.close(found)
    directory, only = (path, None) if is_directory else (path.rpartition(b"/")[0] or b"/", path)
    recursive = bool(message.get("recursive"))
    with opened_inotify(watcher.MASK) as inotify:
        _serve(
            channel,
            inotify,
            watcher.Watcher(inotify, ToldEvents(channel), only, recursive),
            directory,
        )


def watch_plainly(channel, message):
    """`watch_plainly`: the same of a directory only, and with each event of inotify for itself."""
    path = paths.given(message)
    with opened_inotify(plain_watcher.MASK) as inotify:
        _serve(channel, inotify, plain(inotify, ToldEvents(channel), message), path)


def plain(inotify, told, message):
    """A watcher as a message asks for it."""
    recursive, with_entries = bool(message.get("recursive")), bool(message.get("details"))
    return plain_watcher.PlainWatcher(inotify, told, recursive, with_entries)


@contextlib.contextmanager
def opened_inotify(mask):
    """Closed at the end of the block. Raises Refused."""
    try:
        inotify = Inotify(mask)
    except OSError as error:
        raise too_many(error) from None
    try:
        yield inotify
    finally:
        inotify.close()


def arm(looker, path):
    """Begin. Raises Refused and OSError."""
    try:
        looker.arm(path)
    except OSError as error:
        raise too_many(error) from None


def _serve(channel, inotify, looker, path):
    closed, closing = os.pipe()
    try:
        channel.on_closed(lambda: os.write(closing, b"\0"))
        arm(looker, path)
        channel.tell(event="watching", path=records.text(path)[0])
        poll = select.poll()
        poll.register(inotify.fd, select.POLLIN)
        poll.register(closed, select.POLLIN)
        while True:
            ready = dict(poll.poll(None if looker.is_quiet else watcher.PAIR_S * 1000))
            channel.check()
            looker.look(inotify.fd in ready)
    finally:
        channel.on_closed(None)
        os.close(closed)
        os.close(closing)


def too_many(error):
    """The error, or what it means where a limit is reached."""
    if error.errno in (errno.ENOSPC, errno.EMFILE, errno.ENFILE):
        return paths.Refused("too_many_watches", "the kernel's limits of a user are reached")
    return error
