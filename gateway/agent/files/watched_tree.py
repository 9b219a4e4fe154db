"""The directories that one watch is on: with `recursive` all that are below, new ones too."""

import errno
import os

from . import paths

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class WatchedTree:
    """`found` is told the path of what is in a directory that came later, and whether it is a
    file. `lost` is called when something cannot be watched."""

    def __init__(self, inotify, recursive, found, lost):
        self._inotify = inotify
        self.recursive = recursive
        self._found = found
        self._lost = lost
        self.root = b"/"
        self._paths = {}
        """By inotify's numbers."""

    def arm(self, path):
        """Watch a directory, and what is below it. Raises OSError."""
        self.root = path
        fd = paths.opened_directory(path)
        self._add(fd, path, None)

    def path_of(self, number):
        """Of the directory that an event is about; None for one that is not watched any more."""
        return self._paths.get(number)

    def forget(self, number):
        """The kernel has forgotten it."""
        self._paths.pop(number, None)

    def came(self, path):
        """A directory has come: with `recursive` what is in it already is told as found."""
        if not self.recursive:
            return
        try:
            with paths.At(path) as at:
                fd = os.open(at.path, _DIRECTORY, dir_fd=at.dir_fd)
            self._add(fd, path, self._found)
        except FileNotFoundError:
            pass  # it went again
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.EACCES):
                self._lost()  # what happens there is not seen

    def left(self, path):
        """A directory has gone elsewhere: what happens there is nobody's business."""
        for number, below in list(self._paths.items()):
            if below == path or below.startswith(path + b"/"):
                self._inotify.forget(number)
                del self._paths[number]

    def renamed(self, old, new):
        """A directory has another path now. One in it that was just made could not be found under
        the old one."""
        for number, below in self._paths.items():
            if below == old or below.startswith(old + b"/"):
                self._paths[number] = new + below[len(old) :]
        known = set(self._paths.values())
        if new in known:
            self._look_in(known, [one for one in known if (one + b"/").startswith(new + b"/")])
        else:
            self.came(new)

    def look_for_new(self):
        """After an overflow: directories that nobody has told of are watched from now on."""
        known = set(self._paths.values())
        self._look_in(known, known)

    def _look_in(self, known, directories):
        if not self.recursive:
            return
        for path in sorted(directories):
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
                if whole not in known and not is_temporary(whole):
                    self.came(whole)

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
            if self.recursive:
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


def is_temporary(path):
    """Whether it is or was the gateway's own, before it got its name."""
    return b"/" + paths.TEMPORARY in path


def has_no_name(name):
    """What the kernel calls a file that has none (open(2), O_TMPFILE)."""
    return name[:1] == b"#" and name[1:].isdigit()
