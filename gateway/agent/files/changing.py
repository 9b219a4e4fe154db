"""Make, move, copy and remove files and directories."""

import errno
import os
import stat

from . import details, paths, trees
from .writing import Unfinished


def make_directory(channel, message):
    """`mkdir`."""
    path = paths.given(message)
    new = True
    if path == b"/":
        if not message.get("parents"):
            raise OSError(errno.EEXIST, "it exists")
        channel.tell(event="done", stat=details.recorder(message)(path, os.stat(path)), new=False)
        return
    with paths.Parent(path, make=bool(message.get("parents"))) as parent:
        try:
            os.mkdir(parent.name, dir_fd=parent.fd)
        except FileExistsError:
            found = os.stat(parent.name, dir_fd=parent.fd)
            if not message.get("parents") or not stat.S_ISDIR(found.st_mode):
                raise
            new = False
        except BaseException:
            parent.undo()
            raise
        channel.tell(event="done", stat=_shown(parent, message), new=new)


def remove(channel, message):
    """`delete`: links are not followed."""
    path = paths.given(message)
    with paths.Parent(path) as parent:
        found = parent.stat()
        if found is None:
            raise OSError(errno.ENOENT, "no such file or directory")
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(parent.name, dir_fd=parent.fd)
        elif message.get("recursive"):
            trees.remove(parent.fd, parent.name, trees.Progress(channel))
        else:
            os.rmdir(parent.name, dir_fd=parent.fd)
    channel.tell(event="done")


def move(channel, message):
    """`move`."""
    source, target = paths.given(message, "from"), paths.given(message, "to")
    _refuse_into_itself(source, target)
    with paths.Parent(source) as old:
        if old.stat() is None:
            raise OSError(errno.ENOENT, "no such file or directory")
        with paths.Parent(target, make=bool(message.get("parents"))) as new:
            try:
                _move(channel, old, new, message)
            except BaseException:
                new.undo()
                raise
            channel.tell(event="done", stat=_shown(new, message))


def _move(channel, old, new, message):
    overwrite = bool(message.get("overwrite"))
    try:
        _rename(old, new, overwrite)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # To another file system, and only then away.
        _copy(channel, old, new, message, overwrite)
        trees.remove(old.fd, old.name, trees.Progress(channel))


def copy(channel, message):
    """`copy`: a directory with all that is in it; links as links."""
    source, target = paths.given(message, "from"), paths.given(message, "to")
    _refuse_into_itself(source, target)
    with paths.Parent(source) as old, paths.Parent(target) as new:
        if old.stat() is None:
            raise OSError(errno.ENOENT, "no such file or directory")
        _copy(channel, old, new, message, bool(message.get("overwrite")))
        channel.tell(event="done", stat=_shown(new, message))


def discard(channel, message):
    """`discard`: what an operation has left whose process was killed."""
    token = message["token"]
    if not token.isalnum():
        raise ValueError("token")
    path = paths.given(message)
    while True:
        try:
            fd = paths.opened(path, os.O_DIRECTORY)
            break
        except (FileNotFoundError, NotADirectoryError):
            path = path.rpartition(b"/")[0] or b"/"
    try:
        trees.remove(fd, paths.TEMPORARY + token.encode("ascii"), trees.Progress(channel))
    except FileNotFoundError:
        pass
    finally:
        os.close(fd)
    channel.tell(event="done")


def _refuse_into_itself(source, target):
    if target.startswith(source + b"/"):
        raise paths.Refused("bad_path", "into itself")


def _shown(parent, message):
    return details.recorder(message)(parent.path, parent.stat(), parent.fd, parent.name)


def _rename(old, new, overwrite):
    if overwrite:
        os.rename(old.name, new.name, src_dir_fd=old.fd, dst_dir_fd=new.fd)
    else:
        trees.rename_to_nothing(old.fd, old.name, new.fd, new.name)


def _copy(channel, old, new, message, overwrite):
    found = old.stat()
    there = new.stat()
    if there is not None:
        if not overwrite or os.path.samestat(found, there):
            raise OSError(errno.EEXIST, "it exists")
        if stat.S_ISDIR(there.st_mode) and not stat.S_ISDIR(found.st_mode):
            raise OSError(errno.EISDIR, "it is a directory")
        if stat.S_ISDIR(found.st_mode) and not stat.S_ISDIR(there.st_mode):
            raise OSError(errno.ENOTDIR, "it is no directory")
    progress = trees.Progress(channel)
    if stat.S_ISREG(found.st_mode):
        unfinished = Unfinished(new, message["token"])
        try:
            trees.copy_content(old.fd, old.name, unfinished.fd, progress)
            unfinished.put(replacing=there is not None)
        finally:
            unfinished.close()
        return
    name = paths.TEMPORARY + message["token"].encode("ascii")
    try:
        trees.copy(old.fd, old.name, new.fd, name, progress)
        if overwrite:
            os.rename(name, new.name, src_dir_fd=new.fd, dst_dir_fd=new.fd)
        else:
            trees.rename_to_nothing(new.fd, name, new.fd, new.name)
    except BaseException:
        try:
            trees.remove(new.fd, name, trees.Progress(None))
        except OSError:
            pass  # it is not there
        raise
