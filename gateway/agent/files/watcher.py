"""inotify's events by paths: renames as one, new directories too."""

import errno
import json
import os

from . import paths, records
from .inotify import (
    ATTRIB,
    CLOSE_WRITE,
    CREATE,
    DELETE,
    IGNORED,
    ISDIR,
    MOVED_FROM,
    MOVED_TO,
    Q_OVERFLOW,
)

EVENTS_PER_FRAME, BYTES_PER_FRAME = 100, 16 * 1024
PAIR_S = 0.05  # so long the second half of a rename may be behind the first

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Watcher:
    """`only` is the one path that is asked about, or None."""

    def __init__(self, inotify, channel, only, recursive):
        self._inotify = inotify
        self._channel = channel
        self._only = only
        self._recursive = recursive
        self._root = b"/"
        self._paths = {}
        """Of the directories that are watched, by inotify's numbers."""
        self._seen = set()
        """What was found in a new directory, and may be told by an event that is still to come."""
        self._moved = None
        """(cookie, path, whether it is a directory) of the first half of a rename."""
        self._told = []
        self._size = 0

    @property
    def is_quiet(self):
        return self._moved is None

    def arm(self, path):
        """Watch a directory, and what is below it. Raises OSError."""
        self._root = path
        fd = paths.opened_directory(path)
        self._add(fd, path, None)

    def look(self, ready):
        """Tell what has happened, if anything has."""
        if not ready:
            self._came_alone()
            self._seen.clear()
        for event in self._inotify.events():
            self._take(*event)
        self._flush()

    def _add(self, fd, path, found):
        """Watch an open directory, which is closed here, and with `recursive` what is below it.
        `found` is told of what is in it."""
        todo = self._one(fd, path, found)
        while todo:
            below = todo.pop()
            try:
                with paths.At(below) as at:
                    fd = os.open(at.path, _DIRECTORY, dir_fd=at.dir_fd)
            except OSError:
                continue  # it went, or is not ours to read
            todo += self._one(fd, below, found)

    def _one(self, fd, path, found):
        """Watch one open directory; the directories in it. It is watched before it is looked
        through: what comes in between is told twice rather than not at all."""
        below = []
        try:
            self._paths[self._inotify.watch(fd)] = path
            if self._recursive:
                with os.scandir(fd) as entries:
                    for entry in entries:
                        name = os.fsencode(entry.name)
                        if name.startswith(paths.TEMPORARY):
                            continue
                        whole = path.rstrip(b"/") + b"/" + name
                        if found is not None:
                            found(whole, entry.is_file(follow_symlinks=False))
                        if entry.is_dir(follow_symlinks=False):
                            below.append(whole)
        finally:
            os.close(fd)
        return below

    def _add_new(self, path):
        """A directory has come: what is in it already is told as created."""
        try:
            with paths.At(path) as at:
                fd = os.open(at.path, _DIRECTORY, dir_fd=at.dir_fd)
            self._add(fd, path, self._found)
        except FileNotFoundError:
            pass  # it went again
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.EACCES):
                self._overflow()  # what happens there is not seen

    def _found(self, path, is_file):
        if path not in self._seen:
            self._seen.add(path)
            self._tell("created", path)
            if is_file:
                self._tell("written", path)

    def _take(self, number, mask, cookie, name):
        if mask & Q_OVERFLOW:
            self._came_alone()
            self._overflow()
            self._look_for_new()
            return
        if mask & IGNORED:
            self._paths.pop(number, None)
            return
        directory = self._paths.get(number)
        if directory is None:
            return
        if not name:
            if mask & ATTRIB and directory == self._root and self._only is None:
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
        elif name.startswith(paths.TEMPORARY) or _has_no_name(name):
            return
        elif mask & CREATE:
            if path not in self._seen:
                self._tell("created", path)
            self._seen.discard(path)
            if is_directory and self._recursive:
                self._add_new(path)
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
        if _is_temporary(path):
            if moved is not None and not _is_temporary(moved[1]):
                self._went(*moved)
            return
        if moved is not None and _is_temporary(moved[1]):
            self._tell("written", path)  # the gateway has replaced it
            return
        if moved is None:
            self._tell("created", path)
            if is_directory and self._recursive:
                self._add_new(path)
            return
        if self._only is None or self._only in (moved[1], path):
            self._tell("renamed", moved[1], path)
        if is_directory:
            self._rename_below(moved[1], path)

    def _came_alone(self):
        """The first half of a rename had no second one: it has left the tree."""
        moved, self._moved = self._moved, None
        if moved is not None and not _is_temporary(moved[1]):
            self._went(*moved)

    def _went(self, _cookie, path, is_directory):
        self._tell("removed", path)
        if is_directory:
            for number, below in list(self._paths.items()):
                if below == path or below.startswith(path + b"/"):
                    self._inotify.forget(number)
                    del self._paths[number]

    def _rename_below(self, old, new):
        for number, below in self._paths.items():
            if below == old or below.startswith(old + b"/"):
                self._paths[number] = new + below[len(old) :]

    def _look_for_new(self):
        """After an overflow: directories that nobody has told of are watched from now on."""
        if not self._recursive:
            return
        known = set(self._paths.values())
        for path in sorted(known):
            try:
                fd = paths.opened_directory(path)
            except OSError:
                continue
            try:
                with os.scandir(fd) as entries:
                    below = [one.name for one in entries if one.is_dir(follow_symlinks=False)]
            finally:
                os.close(fd)
            for name in below:
                whole = path.rstrip(b"/") + b"/" + os.fsencode(name)
                if whole not in known and not _is_temporary(whole):
                    self._add_new(whole)

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
        told = [kind, *records.text(path)]
        told += [None, None] if to is None else records.text(to)
        self._told.append([*told, found])
        self._size += 2 * len(path) + 2 * len(to or b"")
        if len(self._told) >= EVENTS_PER_FRAME or self._size >= BYTES_PER_FRAME:
            self._flush()

    def _overflow(self):
        self._told.append(["overflow", None, None, None, None, None])

    def _flush(self):
        if self._told:
            told, self._told, self._size = self._told, [], 0
            self._channel.send_whole(json.dumps(told, separators=(",", ":")).encode("ascii"))


def _is_temporary(path):
    return b"/" + paths.TEMPORARY in path


def _has_no_name(name):
    """What the kernel calls a file that has none (open(2), O_TMPFILE)."""
    return name[:1] == b"#" and name[1:].isdigit()
