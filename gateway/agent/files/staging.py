"""What an archive makes, beside its target, and how it gets there."""

import os
import stat

from . import paths, tar_format, trees
from .tar_format import BadArchive


class Tree:
    """The tree that the archive makes, in a directory of its own."""

    def __init__(self, fd, source):
        self._fd = fd
        self._source = source
        self._links = set()
        self._directories = {}

    def add(self, member):
        """Make it. Raises BadArchive for what leads elsewhere."""
        name = self._name(member.name)
        if member.kind == tar_format.DIRECTORY:
            if name:
                self._make_directory(name)
                self._directories[name] = member
            return
        if not name:
            raise BadArchive("a member without a name")
        if member.kind == tar_format.FILE:
            self._make_file(name, member)
        elif member.kind == tar_format.SYMLINK:
            if not member.target or b"\0" in member.target:
                raise BadArchive("a link that leads nowhere")
            self._placed(name, lambda: os.symlink(member.target, name, dir_fd=self._fd))
            self._links.add(name)
        else:
            target = self._name(member.target)
            if target in self._links or not target:
                raise BadArchive("a hard link through a link")
            try:
                self._placed(name, lambda: self._link(target, name))
            except FileNotFoundError:
                raise BadArchive("a hard link to what is not in it") from None

    def give_directories_their_modes(self, target):
        """At the end: one without the right to write could not be filled."""
        for name in sorted(self._directories, reverse=True):
            member = self._directories[name]
            try:
                os.utime(name, (member.mtime, member.mtime), dir_fd=target, follow_symlinks=False)
                os.chmod(name, member.mode & 0o1777, dir_fd=target)
            except OSError:
                pass  # another's, which may stay as it is

    def _name(self, given):
        if given.startswith(b"/"):
            raise BadArchive("an absolute name")
        if b"\0" in given or len(given) > paths.LONGEST:
            raise BadArchive("a name that is none")
        parts = []
        for part in given.split(b"/"):
            if part == b"..":
                if not parts:
                    raise BadArchive("a name that leaves the target")
                self._refuse_link(parts)
                parts.pop()
            elif part not in (b"", b"."):
                parts.append(part)
        self._refuse_link(parts[:-1])
        if parts and parts[0].startswith(paths.TEMPORARY):
            raise BadArchive("a name that is kept for other things")
        return b"/".join(parts)

    def _refuse_link(self, parts):
        if self._links:
            for end in range(1, len(parts) + 1):
                if b"/".join(parts[:end]) in self._links:
                    raise BadArchive("a name that goes through a link")

    def _make_file(self, name, member):
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = self._placed(name, lambda: os.open(name, flags, 0o600, dir_fd=self._fd))
        try:
            for piece in self._source.some(member.size):
                while piece:
                    piece = piece[os.write(fd, piece) :]
            os.fchmod(fd, member.mode & 0o1777)
            os.utime(fd, (member.mtime, member.mtime))
        finally:
            os.close(fd)
        self._source.exactly(-member.size % tar_format.BLOCK)

    def _placed(self, name, make):
        """Make something whose directory may be missing, in the place of what has the name."""
        for _ in range(3):
            try:
                return make()
            except FileExistsError:
                found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    raise BadArchive("a file where it has a directory") from None
                os.unlink(name, dir_fd=self._fd)
                self._links.discard(name)
            except FileNotFoundError:
                self._make_directory(name.rpartition(b"/")[0])
            except NotADirectoryError:
                raise BadArchive("a file below another file") from None
        return make()

    def _link(self, target, name):
        os.link(target, name, src_dir_fd=self._fd, dst_dir_fd=self._fd, follow_symlinks=False)

    def _make_directory(self, name):
        missing = []
        while name:
            try:
                os.mkdir(name, 0o755, dir_fd=self._fd)
                break
            except FileExistsError:
                found = os.stat(name, dir_fd=self._fd, follow_symlinks=False)
                if not stat.S_ISDIR(found.st_mode):
                    raise BadArchive("a directory where it has a file") from None
                break
            except NotADirectoryError:
                raise BadArchive("a directory below a file") from None
            except FileNotFoundError:
                missing.append(name)
                name = name.rpartition(b"/")[0]
        for name in reversed(missing):
            os.mkdir(name, 0o755, dir_fd=self._fd)


def merge(staged, target, prefix, do, progress):
    """Go down where both sides have a directory; `do` the rest."""
    below = os.open(
        prefix or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=staged
    )
    try:
        entries = trees.sorted_content(below)
    finally:
        os.close(below)
    if entries and do is check and not os.access(prefix or b".", os.W_OK | os.X_OK, dir_fd=target):
        raise paths.Refused("permission_denied", "a directory that is there cannot be written to")
    while entries:
        name, is_directory = entries.pop()
        progress.step()
        whole = prefix + b"/" + name if prefix else name
        try:
            there = os.stat(whole, dir_fd=target, follow_symlinks=False).st_mode
        except FileNotFoundError:
            there = None
        if is_directory and there is not None and stat.S_ISDIR(there):
            merge(staged, target, whole, do, progress)
        else:
            do(staged, target, whole, is_directory, there)


def check(staged, target, name, is_directory, there):
    """Refuse before anything was moved."""
    if there is not None and is_directory:
        raise paths.Refused("not_directory", "there is a file where the archive has a directory")
    if there is not None and stat.S_ISDIR(there):
        raise paths.Refused("is_directory", "there is a directory where the archive has a file")


def move(staged, target, name, is_directory, there):
    os.rename(name, name, src_dir_fd=staged, dst_dir_fd=target)
