"""Where a command starts."""

import os

MOST_LINKS = 40
"""As the kernel has it (path_resolution(7))."""


class NoDirectory(Exception):
    """A command cannot start there; the text says why."""


def directory_at(wanted, home):
    """The path, without links, of the directory that `wanted` names, from `home` on if it is
    relative. Raises NoDirectory when there is none, and when the way there leads through /proc:
    a directory behind a leaked descriptor could lie outside of the sandbox.
    """
    todo = [part for part in os.path.join(home, wanted).split("/") if part]
    todo.reverse()
    path, links = "/", 0
    try:
        proc = os.stat("/proc").st_dev
        while todo:
            part = todo.pop()
            if part == ".":
                continue
            if part == "..":
                path = os.path.dirname(path)
                continue
            following = os.path.join(path, part)
            if os.lstat(following).st_dev == proc:
                raise NoDirectory("cwd may not be in /proc")
            if not os.path.islink(following):
                path = following
                continue
            links += 1
            if links > MOST_LINKS:
                raise NoDirectory("cwd %r is a loop of links" % wanted)
            target = os.readlink(following)
            if target.startswith("/"):
                path = "/"
            todo.extend(part for part in reversed(target.split("/")) if part)
    except (OSError, ValueError) as error:
        raise NoDirectory(
            "cwd %r is no directory: %s" % (wanted, getattr(error, "strerror", None) or error)
        ) from None
    if not os.path.isdir(path):
        raise NoDirectory("cwd %r is no directory" % wanted)
    return path
