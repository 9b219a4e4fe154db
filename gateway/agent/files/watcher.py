"""inotify's events by paths: renames as one, new directories too."""

import os

from . import paths, records
from .inotify import (
    ATTRIB,
    CLOSE_WRITE,
    CREATE,
    DELETE,
    DELETE_SELF,
    IGNORED,
    ISDIR,
    MOVED_FROM,
    MOVED_TO,
    Q_OVERFLOW,
)
from .watched_tree import WatchedTree, has_no_name, is_temporary

PAIR_S = 0.05  # so long the second half of a rename may be behind the first

MASK = ATTRIB | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF


class Watcher:
    """`only` is the one path that is asked about, or None. `told` is given the events."""

    def __init__(self, inotify, told, only, recursive):
        self._inotify = inotify
        self._told = told
        self._only = only
        self._tree = WatchedTree(inotify, recursive, self._found, told.overflow)
        self._seen = set()
        """What was found in a new directory, and may be told by an event that is still to come."""
        self._moved = None
        """(cookie, path, whether it is a directory) of the first half of a rename."""

    @property
    def is_quiet(self):
        return self._moved is None

    def arm(self, path):
        """Watch a directory, and what is below it. Raises OSError."""
        self._tree.arm(path)

    def look(self, ready):
        """Tell what has happened, if anything has."""
        if not ready:
            self._came_alone()
            self._seen.clear()
        for event in self._inotify.events():
            self._take(*event)
        self._told.flush()

    def _found(self, path, is_file):
        if path not in self._seen:
            self._seen.add(path)
            self._tell("created", path)
            if is_file:
                self._tell("written", path)

    def _take(self, number, mask, cookie, name):
        if mask & Q_OVERFLOW:
            self._came_alone()
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
            if mask & ATTRIB and directory == self._tree.root and self._only is None:
                self._tell("attributes", directory)
            return
        path = directory.rstrip(b"/") + b"/" + name
        is_directory = bool(mask & ISDIR)
        if self._moved is not None and not (mask & MOVED_TO and cookie == self._moved[0]):
            self._came_alone()
        if mask & MOVED_FROM:
            self._moved = (cookie, path, is_directory)
        elif mask & MOVED_TO:
            self._came(path, is_directory)
        elif name.startswith(paths.TEMPORARY) or has_no_name(name):
            return
        elif mask & CREATE:
            if path not in self._seen:
                self._tell("created", path)
            self._seen.discard(path)
            if is_directory:
                self._tree.came(path)
        elif mask & CLOSE_WRITE:
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
            if moved is not None and not is_temporary(moved[1]):
                self._went(*moved)
            return
        if moved is not None and is_temporary(moved[1]):
            self._tell("written", path)  # the gateway has replaced it
            return
        if moved is None:
            self._tell("created", path)
            if is_directory:
                self._tree.came(path)
            return
        if self._only is None or self._only in (moved[1], path):
            self._tell("renamed", moved[1], path)
        if is_directory:
            self._tree.renamed(moved[1], path)

    def _came_alone(self):
        """The first half of a rename had no second one: it has left the tree."""
        moved, self._moved = self._moved, None
        if moved is not None and not is_temporary(moved[1]):
            self._went(*moved)

    def _went(self, _cookie, path, is_directory):
        self._tell("removed", path)
        if is_directory:
            self._tree.left(path)

    # --- to the gateway --------------------------------------------------------------------------

    def _tell(self, kind, path, to=None):
        if self._only is not None and self._only not in (path, to):
            return
        found = None
        if kind != "removed":
            try:
                with paths.At(to or path) as at:
                    status = os.stat(at.path, dir_fd=at.dir_fd, follow_symlinks=False)
                    found = records.record(to or path, status, at.dir_fd, at.path)
            except OSError:
                pass  # it went meanwhile
        self._told.tell(kind, path, to, found)
