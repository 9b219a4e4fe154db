"""List a directory, sorted by path."""

import bisect
import heapq
import json
import os

from . import details, paths

ENTRIES_PER_FRAME = 200
NAMES_PER_FRAME = 16 * 1024
"""Bytes of paths: as JSON they take up to six times that."""

FIRST_ENTRIES = 20

MANY = 10_000
"""Of so many names the first are looked for before all are sorted, which takes twice as long as to
read them."""

PAGE_BYTES = 4 * 1024 * 1024
"""A page ends here even if fewer entries were asked for: the gateway holds one whole."""


def list_directory(channel, message):
    """`list`: entries of a directory and, with `depth`, of those below, as JSON arrays of records.

    They come in the order of their whole paths or, with `order` "tree", each directory before what
    is in it. `limit` ends a page; then `more` says whether there is more. `after` is the last path
    that the gateway has, in the order of paths.
    """
    path = paths.given(message)
    after = paths.given(message, "after") if message.get("after") else None
    fd = paths.opened_directory(path)
    channel.tell(event="list")
    in_tree = message.get("order") == "tree"
    pages = _Pages(channel, message.get("limit"), details.recorder(message), in_tree)
    prefix = path.rstrip(b"/") + b"/"
    pages.of(fd, prefix, int(message["depth"]), after)
    pages.finish()


class _Full(Exception):
    """The page has all that was asked for."""


class _Pages:
    def __init__(self, channel, limit, record, in_tree):
        self._channel = channel
        self._left = limit
        self._record = record
        self._in_tree = in_tree
        self._size = 0
        self._held = []
        self._names = 0
        self._more = False

    def of(self, fd, prefix, depth, after):
        try:
            self._walk(fd, prefix, depth, after)
        except _Full:
            self._more = True

    def finish(self):
        self._flush()
        self._channel.send(b"", end=True)
        self._channel.tell(event="end", more=self._more)

    def _walk(self, fd, prefix, depth, after):
        """Owns `fd`. A directory's own entry and what is below it need not be neighbours: `a.b` is
        before `a/b`. So there are two turns for it."""
        try:
            turns = _turns(fd, depth > 1)
            if self._in_tree:
                turns.sort(key=_in_tree)
                self._take(fd, prefix, turns, depth, after)
                return
            if after is None and len(turns) > MANY:
                first = heapq.nsmallest(FIRST_ENTRIES, turns)
                self._take(fd, prefix, first, depth, after)
                turns.sort()
                self._take(fd, prefix, turns[len(first) :], depth, after)
                return
            turns.sort()
            begin = 0
            if after is not None and after.startswith(prefix):
                rest = after[len(prefix) :]
                begin = bisect.bisect_right(turns, rest)
                head, slash, _ = rest.partition(b"/")
                if slash and depth > 1:
                    begin = bisect.bisect_left(turns, head + b"/")
            self._take(fd, prefix, turns[begin:], depth, after)
        finally:
            os.close(fd)

    def _take(self, fd, prefix, turns, depth, after):
        for turn in turns:
            self._channel.check()
            if turn.endswith(b"/"):
                self._below(fd, prefix, turn, depth, after)
            else:
                self._add(fd, prefix, turn)

    def _below(self, fd, prefix, turn, depth, after):
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            below = os.open(turn[:-1], flags, dir_fd=fd)
        except OSError:
            return  # it went, or is not ours to read
        self._walk(below, prefix + turn, depth - 1, after)

    def _add(self, fd, prefix, name):
        try:
            found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError:
            return  # it went meanwhile
        if self._left is not None and (not self._left or self._size > PAGE_BYTES):
            raise _Full()
        record = self._record(prefix + name, found, fd, name)
        self._held.append(record)
        self._names += len(prefix) + len(name) + len(record[7] or "") + details.size_of(record)
        if self._left is not None:
            self._left -= 1
        most = ENTRIES_PER_FRAME if self._size else FIRST_ENTRIES
        if len(self._held) >= most or self._names >= NAMES_PER_FRAME:
            self._flush()

    def _flush(self):
        if self._held:
            data = json.dumps(self._held, separators=(",", ":")).encode("ascii")
            self._held, self._names = [], 0
            self._size += len(data)
            self._channel.send_whole(data)


def _in_tree(turn):
    return turn.rstrip(b"/"), turn[-1:] == b"/"


def _turns(fd, deep):
    """In no order."""
    if not deep:
        turns = _names(fd)
        if any(name.startswith(paths.TEMPORARY) for name in turns):
            turns = [name for name in turns if not name.startswith(paths.TEMPORARY)]
    else:
        turns = []
        with os.scandir(fd) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if name.startswith(paths.TEMPORARY):
                    continue
                turns.append(name)
                if entry.is_dir(follow_symlinks=False):
                    turns.append(name + b"/")
    return turns


def _names(fd):
    """As bytes at once, where that is possible: 100,000 of them take 20 ms to encode."""
    try:
        return os.listdir(b"/proc/self/fd/%d" % fd)
    except OSError:
        return [os.fsencode(name) for name in os.listdir(fd)]
