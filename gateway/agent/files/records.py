"""What the gateway is told of what is at a path."""

import base64
import binascii
import os
import stat

_KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "directory", stat.S_IFLNK: "symlink"}
_names = {}


def _name_of(kind, number):
    found = _names.get((kind, number))
    if found is None:
        found = str(number)
        try:
            import grp
            import pwd

            if kind == "user":
                found = pwd.getpwuid(number).pw_name
            else:
                found = grp.getgrgid(number).gr_name
        except (ImportError, KeyError):
            pass
        if len(_names) < 1000:
            _names[kind, number] = found
    return found


def random_name():
    """That nobody guesses."""
    return binascii.hexlify(os.urandom(16)).decode("ascii")


def text(name):
    """(readable, bytes as base64 where they are no UTF-8, else None)."""
    try:
        return name.decode("utf-8"), None
    except UnicodeDecodeError:
        return name.decode("utf-8", "replace"), base64.b64encode(name).decode("ascii")


def etag_of(found):
    """Changes with the content: also when somebody sets the time back, for nobody sets ctime."""
    return '"%x-%x-%x-%x"' % (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def kind_of(found):
    """What a stat is of."""
    return _KINDS.get(stat.S_IFMT(found.st_mode), "other")


def record(path, found, dir_fd=None, name=None):
    """What the gateway is told of one path: a list, for there may be 100,000."""
    kind = kind_of(found)
    shown, raw = text(path)
    target = None
    if kind == "symlink":
        try:
            target = text(os.readlink(path if name is None else name, dir_fd=dir_fd))[0]
        except OSError:
            target = ""
    return [
        shown,
        kind,
        found.st_size,
        stat.S_IMODE(found.st_mode),
        _name_of("user", found.st_uid),
        _name_of("group", found.st_gid),
        found.st_mtime,
        target,
        etag_of(found) if kind == "file" else None,
        raw,
    ]
