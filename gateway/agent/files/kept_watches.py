"""Watches that outlive the request that began them: who has their name asks for what was told.

One thread reads them all as things happen, so that directories made later are watched in time.
"""

import json
import os
import select
import threading
import time

from . import details, paths, plain_watcher, records
from .inotify import Inotify
from .told_events import EVENTS_PER_FRAME, OVERFLOW, event
from .watching import arm, plain, too_many

MOST = 32
"""At a time. A user has 128 instances of inotify."""

MOST_EVENTS = 10_000
MOST_BYTES = 4 * 1024 * 1024
"""Of one watch, that nobody has asked for yet; beyond that they are lost, which is told."""

UNUSED_S = 3600.0
"""Who has not asked for so long has forgotten it."""

_watches = {}
_lock = threading.Lock()
_woken, _wake = os.pipe()
_attendant = []


class _Unread:
    """Events that wait to be asked for. The same one again is one, as in the kernel's queue."""

    def __init__(self):
        self._events = []
        self._bytes = 0
        self._were_lost = False

    def tell(self, kind, path, to, found):
        """One more."""
        told = event(kind, path, to, found)
        last = self._events[-1][0] if self._events else None
        if kind in ("written", "attributes") and last is not None and last[:3] == told[:3]:
            self._bytes -= self._events.pop()[1]
        size = 200 + 2 * len(path) + (0 if found is None else 200 + details.size_of(found))
        self._events.append((told, size))
        self._bytes += size
        if len(self._events) > MOST_EVENTS or self._bytes > MOST_BYTES:
            self._events, self._bytes, self._were_lost = [], 0, True

    def overflow(self):
        """Some were lost."""
        self._were_lost = True

    def flush(self):
        """Nobody waits."""

    def take(self):
        """All, which are forgotten. If some were lost before them it is only that, for once."""
        if self._were_lost:
            self._were_lost = False
            return [OVERFLOW]
        taken = [told for told, _ in self._events]
        self._events, self._bytes = [], 0
        return taken


class _KeptWatch:
    def __init__(self, path, message):
        try:
            self.inotify = Inotify(plain_watcher.MASK)
        except OSError as error:
            raise too_many(error) from None
        self.path = path
        self.used_at = time.monotonic()
        self._unread = _Unread()
        self._looker = plain(self.inotify, self._unread, message)
        self._lock = threading.Lock()
        self._is_closed = False
        try:
            arm(self._looker, path)
        except BaseException:
            self.close()
            raise

    def look(self):
        """Read what has happened."""
        with self._lock:
            if not self._is_closed:
                try:
                    self._looker.look()
                except Exception:  # noqa: BLE001 - the top of a thread, which others need too
                    self._unread.overflow()

    def take(self):
        """All that has happened since the last time, up to now."""
        self.used_at = time.monotonic()
        with self._lock:
            if not self._is_closed:
                self._looker.look()
            return self._unread.take()

    def close(self):
        with self._lock:
            if not self._is_closed:
                self._is_closed = True
                self.inotify.close()


def are_any():
    """Whether somebody may still ask for one."""
    return bool(_watches)


def keep(channel, message):
    """`keep_watch`: begin to watch a directory; `watch` names it."""
    path = paths.given(message)
    kept, name = _KeptWatch(path, message), records.random_name()
    with _lock:
        fits = len(_watches) < MOST
        if fits and not _attendant:
            fits = _is_attended()
        if fits:
            _watches[name] = kept
    if not fits:
        kept.close()
        raise paths.Refused("too_many_watches", "%d at a time" % MOST)
    os.write(_wake, b"\0")
    channel.tell(event="done", watch=name)


def read(channel, message):
    """`kept_events`: what it has seen since the last time, as JSON arrays."""
    kept = _found(message)
    told = kept.take()
    channel.tell(event="list", path=records.text(kept.path)[0])
    for at in range(0, len(told), EVENTS_PER_FRAME // 4):
        some = told[at : at + EVENTS_PER_FRAME // 4]
        channel.send_whole(json.dumps(some, separators=(",", ":")).encode("ascii"))
    channel.send(b"", end=True)


def forget(channel, message):
    """`forget_watch`."""
    kept = _found(message)
    _drop(message["watch"], kept)
    channel.tell(event="done")


def _found(message):
    with _lock:
        kept = _watches.get(message["watch"])
    if kept is None:
        raise paths.Refused("unknown_watch", "there is no such watch, or not any more")
    return kept


def _drop(name, kept):
    with _lock:
        _watches.pop(name, None)
    os.write(_wake, b"\0")
    kept.close()


def _is_attended():
    """Whether there is a thread for it: a sandbox may have as many processes as it may."""
    thread = threading.Thread(target=_attend, daemon=True)
    try:
        thread.start()
    except RuntimeError:
        return False
    _attendant.append(thread)
    return True


def _attend():
    while True:
        with _lock:
            watches = dict(_watches)
        now = time.monotonic()
        poll, by_fd = select.poll(), {}
        poll.register(_woken, select.POLLIN)
        for name, kept in watches.items():
            if now - kept.used_at > UNUSED_S:
                _drop(name, kept)
            else:
                by_fd[kept.inotify.fd] = kept
                poll.register(kept.inotify.fd, select.POLLIN)
        for fd, _ in poll.poll(1000 * UNUSED_S / 10):
            if fd == _woken:
                os.read(_woken, 4096)
            else:
                by_fd[fd].look()
