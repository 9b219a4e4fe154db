"""More about what is at a path, for who asks for `details`: where a link leads, and metadata."""

import errno
import os
import stat

from . import paths, records

PREFIX = "user.e2b."
"""Begins the names of the extended attributes (xattr(7)) that are metadata."""

LONGEST_KEY = 246
MOST_BYTES = 4096
"""Of all keys, the prefix before each counted, and values of one file."""


def record(path, found, dir_fd=None, name=None):
    """As `records.record`, and one part more: [whether the owner is the user, whether the group
    is, what kind of thing a link leads to, its mode, where the link leads, metadata]."""
    kind = mode = target = None
    metadata = {}
    if stat.S_ISLNK(found.st_mode):
        target = records.text(os.path.realpath(path))[0]
        try:
            leads_to = os.stat(path if name is None else name, dir_fd=dir_fd)
            kind = records.kind_of(leads_to)
            mode = stat.S_IMODE(leads_to.st_mode)
        except OSError:
            pass  # it leads nowhere
    elif stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode):
        metadata = _metadata_of(_place(path, dir_fd, name))
    own = [found.st_uid == os.geteuid(), found.st_gid == os.getegid()]
    return [*records.record(path, found, dir_fd, name), [*own, kind, mode, target, metadata]]


def recorder(message):
    """What makes the records that a message asks for."""
    return record if message.get("details") else records.record


def size_of(made):
    """Bytes of what a record has more."""
    if len(made) < 11:
        return 0
    target, metadata = made[10][4:]
    return len(target or "") + sum(len(key) + len(value) for key, value in metadata.items())


def _place(path, dir_fd, name):
    """For functions that know no `dir_fd`."""
    if dir_fd is None or name is None:
        return path
    return b"/proc/self/fd/%d/%s" % (dir_fd, name)


def _metadata_of(place):
    """Whoever is in the sandbox may have set anything: what is beyond the bound is left out."""
    metadata = {}
    left = MOST_BYTES
    try:
        for attribute in sorted(os.listxattr(place, follow_symlinks=False)):
            if attribute.startswith(PREFIX):
                value = os.getxattr(place, attribute, follow_symlinks=False)
                key = os.fsencode(attribute[len(PREFIX) :])
                left -= len(key) + len(value)
                if left < 0:
                    break
                metadata[records.text(key)[0]] = records.text(value)[0]
    except OSError:
        pass  # it went, or the file system has no attributes
    return metadata


def set_metadata(fd, metadata):
    """Let these be all that a file has. Raises Refused."""
    taken = sum(len(PREFIX) + len(key) + len(value) for key, value in metadata.items())
    if taken > MOST_BYTES or any(not 0 < len(key) <= LONGEST_KEY for key in metadata):
        raise paths.Refused(
            "bad_metadata",
            "a key has 1 to %d bytes, and all of it at most %d" % (LONGEST_KEY, MOST_BYTES),
        )
    try:
        wanted = {PREFIX + key: value.encode("ascii") for key, value in metadata.items()}
        for attribute in _attributes_of(fd):
            if attribute.startswith(PREFIX) and attribute not in wanted:
                os.removexattr(fd, attribute)
        for attribute, value in wanted.items():
            os.setxattr(fd, attribute, value)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
            raise paths.Refused("bad_metadata", "the file system there keeps none") from None
        if error.errno in (errno.E2BIG, errno.ERANGE):
            raise paths.Refused("bad_metadata", "more than the file system keeps") from None
        raise


def _attributes_of(fd):
    try:
        return os.listxattr(fd)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.ENOSYS):
            return []
        raise
