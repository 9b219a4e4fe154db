"""inotify's events one by one, as E2B's clients expect: a rename is two, and each write one."""

import os

from . import details, paths
from .inotify import (
    ATTRIB,
    CREATE,
    DELETE,
    DELETE_SELF,
    IGNORED,
    ISDIR,
    MODIFY,
    MOVE_SELF,
    MOVED_FROM,
    MOVED_TO,
    Q_OVERFLOW,
)
from .watched_tree import WatchedTree, has_no_name, is_temporary

MASK = ATTRIB | MODIFY | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF

MOST_READS = 64
"""At a time: more than the kernel keeps events, which may come faster than they are told."""


class PlainWatcher:
    """`told` is given the events. `with_entries`: with what is there then."""

    is_quiet = True
    """It waits for no second half of anything."""

    def __init__(self, inotify, told, recursive, with_entries):
        self._inotify = inotify
        self._told = told
        self._with_entries = with_entries
        self._tree = WatchedTree(inotify, recursive, self._found, told.overflow)
        self._seen = set()
        """What was found in a new directory, and may be told by an event that is still to come."""
        self._moved = None
        """(cookie, path, whether it is a directory) of the first half of a rename."""

    def arm(self, path):
        """Watch a directory, and what is below it. Raises OSError."""
        self._tree.arm(path)

    def look(self, _ready=True):
        """Tell all that has happened up to now."""
        for _ in range(MOST_READS):
            is_empty = True
            for event in self._inotify.events():
                is_empty = False
                self._take(*event)
            if is_empty:
                self._seen.clear()
                break
        self._told.flush()

    def _found(self, path, is_file):
        if path not in self._seen:
            self._seen.add(path)
            self._tell("created", path)
            if is_file and _has_content(path):
                self._tell("written", path)

    def _take(self, number, mask, cookie, name):
        if mask & Q_OVERFLOW:
            self._told.overflow()
            self._tree.look_for_new()
            return
        if mask & IGNORED:
            self._tree.forget(number)
            return
        directory = self._tree.path_of(number)
        if directory is None:
            return
        if not name:
            if directory == self._tree.root:
                self._take_own(mask)
            return
        path = directory.rstrip(b"/") + b"/" + name
        is_directory = bool(mask & ISDIR)
        if self._moved is not None and not (mask & MOVED_TO and cookie == self._moved[0]):
            self._went()
        if mask & MOVED_FROM:
            self._moved = (cookie, path, is_directory)
            if not is_temporary(path):
                self._tell("left", path)
        elif mask & MOVED_TO:
            self._came(path, is_directory)
        elif not is_temporary(path) and not has_no_name(name):
            self._take_usual(mask, path, is_directory)

    def _take_own(self, mask):
        """Of the watched directory itself."""
        if mask & ATTRIB:
            self._tell("attributes", self._tree.root)
        elif mask & DELETE_SELF:
            self._tell("removed", self._tree.root)
        elif mask & MOVE_SELF:
            self._tell("left", self._tree.root)

    def _take_usual(self, mask, path, is_directory):
        if mask & CREATE:
            if path not in self._seen:
                self._tell("created", path)
            self._seen.discard(path)
            if is_directory:
                self._tree.came(path)
        elif mask & MODIFY:
            self._tell("written", path)
        elif mask & ATTRIB:
            self._tell("attributes", path)
        elif mask & DELETE:
            self._seen.discard(path)
            self._tell("removed", path)

    def _came(self, path, is_directory):
        """The second half of a rename, or a whole one from elsewhere."""
        moved, self._moved = self._moved, None
        if is_temporary(path):
            return
        # The gateway puts a file in another's place by a rename.
        is_replaced = moved is not None and is_temporary(moved[1])
        self._tell("written" if is_replaced else "created", path)
        if is_directory and moved is not None:
            self._tree.renamed(moved[1], path)
        elif is_directory:
            self._tree.came(path)

    def _went(self):
        """The first half of a rename had no second one: it has left the tree."""
        moved, self._moved = self._moved, None
        if moved is not None and moved[2]:
            self._tree.left(moved[1])

    def _tell(self, kind, path):
        found = None
        if self._with_entries and kind in ("created", "written", "attributes"):
            try:
                with paths.At(path) as at:
                    status = os.stat(at.path, dir_fd=at.dir_fd, follow_symlinks=False)
                    found = details.record(path, status, at.dir_fd, at.path)
            except OSError:
                pass  # it went meanwhile
        self._told.tell(kind, path, None, found)


def _has_content(path):
    try:
        with paths.At(path) as at:
            return os.stat(at.path, dir_fd=at.dir_fd, follow_symlinks=False).st_size > 0
    except OSError:
        return False  # it went
