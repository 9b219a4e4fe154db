"""A user of its own for each sandbox, put into the container's writable layer before its start.

The kernel counts much per user and not per container: inotify instances, descriptors in flight,
message queues, pending signals, memory of pipes. So each sandbox gets a uid that no other has. In
the container that one takes the place of the image's user 1000: the same name, home and group, and
what belonged to 1000 belongs to it. Of the image's files, those are copied into the layer with
their new owner, and /etc/passwd with the new number; nothing is mounted in the sandbox for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Protocol

from gateway.errors import HostToolFailed
from gateway.host import programs
from gateway.host.image_files import ImageFile, owned_by, topmost
from gateway.host.kernel_calls import in_thread

log = logging.getLogger(__name__)

USERS_FILE = "etc/passwd"
LONGEST_USERS_FILE = 1024 * 1024

IMAGES_REMEMBERED = 64


class ImageLayers(Protocol):
    """What is asked of the engine's description of an image."""

    @property
    def image_id(self) -> str: ...

    @property
    def layers(self) -> tuple[str, ...]: ...


class Container(Protocol):
    """What is asked of its description of a container."""

    @property
    def image_id(self) -> str | None: ...

    @property
    def layer(self) -> str | None: ...


@dataclass(frozen=True)
class UserFiles:
    """What an image has of its user 1000: the files, the file of users with its text (None and b""
    when the image has none), and the directories of others that lead to these. Looked up once: it
    takes longer than the copying."""

    owned: tuple[ImageFile, ...]
    names: ImageFile | None
    passwd: bytes
    above: tuple[ImageFile, ...]


class LayerUsers:
    """Gives containers users of their own, where this process may.

    `hindrance` says why it may not, or None; `checked` gives the directory of a container's layer
    and raises HostToolFailed when it is none of the engine's. `uid` is whom images' files belong
    to.
    """

    def __init__(
        self,
        hindrance: Callable[[], str | None],
        layers_of: Callable[[str], ImageLayers],
        checked: Callable[[str | None], Path],
        uid: int,
    ) -> None:
        self._hindrance = hindrance
        self._layers_of = layers_of
        self._checked = checked
        self._uid = uid
        self._decided: list[str | None] = []
        """The hindrance, once it is known: to find out takes the engine 10 ms and more."""
        self._known: dict[str, UserFiles | str] = {}
        """By image id; a text says why its files cannot get another owner."""

    def check(self) -> tuple[bool, str]:
        """Whether sandboxes have users of their own, and how or why not. Raises the engine's
        errors."""
        hindrance = self._why_not()
        if hindrance is not None:
            return False, f"sandboxes share a user, and the kernel's limits per user: {hindrance}"
        shared = [f"{one:.19}: {why}" for one, why in self._known.items() if isinstance(why, str)]
        if shared:
            return False, f"sandboxes of some images share a user: {'; '.join(shared)}"
        return True, "each sandbox has a user of its own, and the kernel's limits per user with it"

    def preparation(self, image: str, uid: int) -> LayerUser | None:
        """For the start of a container from `image` whose user shall be `uid`; None where it must
        be the image's own. Raises ImageMissing and the engine's errors."""
        if self._why_not() is not None:
            return None
        found = self._layers_of(image)
        files = self._known.get(found.image_id)
        if files is None:
            files = self._look_at(found)
            while len(self._known) >= IMAGES_REMEMBERED:
                del self._known[next(iter(self._known))]
            self._known[found.image_id] = files
        if isinstance(files, str):
            return None
        return LayerUser(self._checked, found.image_id, files, (self._uid, uid))

    def _why_not(self) -> str | None:
        if not self._decided:
            self._decided.append(self._hindrance())
        return self._decided[0]

    def _look_at(self, image: ImageLayers) -> UserFiles | str:
        try:
            if not image.layers:
                raise HostToolFailed("the engine does not keep it in overlay2")
            return files_of(self._uid, image.layers)
        except programs.TookTooLong:
            raise  # another time it may not
        except (OSError, HostToolFailed) as error:
            log.warning("sandboxes of image %.19s share a user: %s", image.image_id, error)
            return str(error)


class LayerUser:
    """The user of one container: `gateway.engine.interface.Preparation`. `uids` are the image's
    and the sandbox's own."""

    def __init__(
        self,
        checked: Callable[[str | None], Path],
        image_id: str,
        files: UserFiles,
        uids: tuple[int, int],
    ) -> None:
        self._checked = checked
        self._image_id = image_id
        self._files = files
        self._uids = uids

    def before_start(self, container: Container) -> None:
        """Raises HostToolFailed, also when the image's name has moved on meanwhile."""
        if container.image_id != self._image_id:
            raise HostToolFailed("the image was built anew while a container was made of it")
        root = self._checked(container.layer) / "diff"
        try:
            in_thread(partial(_give_files, str(root), self._files, self._uids))
        except OSError as error:
            raise HostToolFailed(f"cannot give a sandbox its user: {error}") from error

    def after_start(self, container: Container) -> None:
        """All is done before."""


def with_uid(passwd: bytes, before: int, after: int) -> bytes:
    """A passwd(5) in which whoever had the one number has the other."""
    lines = passwd.split(b"\n")
    for number, line in enumerate(lines):
        fields = line.split(b":")
        if len(fields) == 7 and fields[2] == b"%d" % before:
            fields[2] = b"%d" % after
            lines[number] = b":".join(fields)
    return b"\n".join(lines)


def files_of(uid: int, layers: tuple[str, ...]) -> UserFiles:
    """What an image has of a user. Raises HostToolFailed and OSError."""
    owned = tuple(owned_by(uid, layers))
    names = topmost(USERS_FILE, layers)
    paths = [file.path for file in owned] + ([USERS_FILE] if names is not None else [])
    above = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    above -= {".", *(file.path for file in owned)}
    found = [topmost(path, layers) for path in sorted(above)]
    return UserFiles(
        owned,
        names,
        b"" if names is None else _text_of(names),
        tuple(directory for directory in found if directory is not None),
    )


def _text_of(found: ImageFile) -> bytes:
    with open(os.open(found.source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        text = file.read(LONGEST_USERS_FILE + 1)
    if len(text) > LONGEST_USERS_FILE:
        raise HostToolFailed("its /etc/passwd is too long")
    return text


def _give_files(root: str, files: UserFiles, uids: tuple[int, int]) -> None:
    """Runs in a thread. Nothing else is at work in the layer, and nothing in it is a tenant's."""
    before, after = uids
    directories = [(file, None) for file in files.above]
    owned = [(file, after) for file in files.owned if file != files.names]
    # By path: each directory comes before what is in it, whoever they belong to.
    everything = sorted([*directories, *owned], key=lambda one: one[0].path)
    for file, uid in everything:
        _copy(file, f"{root}/{file.path}", uid)
    passwd = with_uid(files.passwd, before, after)
    is_owned = files.names in files.owned
    if files.names is not None and (is_owned or passwd != files.passwd):
        _write(f"{root}/{USERS_FILE}", passwd)
        _take_over(files.names.source, f"{root}/{USERS_FILE}", after if is_owned else None)
    # Times of directories change with what is put into them.
    for file, _uid in reversed(everything):
        _set_times(os.lstat(file.source), f"{root}/{file.path}")


def _copy(file: ImageFile, target: str, uid: int | None) -> None:
    mode = os.lstat(file.source).st_mode
    if stat.S_ISLNK(mode):
        os.symlink(os.readlink(file.source), target)
    elif stat.S_ISDIR(mode):
        os.mkdir(target)
    elif stat.S_ISREG(mode):
        with open(os.open(file.source, os.O_RDONLY | os.O_NOFOLLOW), "rb") as source:
            _write(target, b"")
            with open(target, "wb") as copy:
                shutil.copyfileobj(source, copy)
    elif stat.S_ISFIFO(mode):
        os.mkfifo(target)
    else:
        return  # a device or a socket stays whose it was
    _take_over(file.source, target, uid)


def _write(target: str, content: bytes) -> None:
    with open(
        os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600), "wb"
    ) as f:
        f.write(content)


def _take_over(source: str, target: str, uid: int | None) -> None:
    """Owner (another one, if `uid` is given), mode, users' extended attributes and times. No setuid
    or setgid bit of a file and no capability: both would name another user than before."""
    entry = os.lstat(source)
    os.chown(target, entry.st_uid if uid is None else uid, entry.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(entry.st_mode):
        kept = 0o3777 if stat.S_ISDIR(entry.st_mode) else 0o1777
        os.chmod(target, entry.st_mode & kept)
        with contextlib.suppress(OSError):  # the file system has none
            for name in os.listxattr(source, follow_symlinks=False):
                if name.startswith("user."):
                    value = os.getxattr(source, name, follow_symlinks=False)
                    os.setxattr(target, name, value, follow_symlinks=False)
    _set_times(entry, target)


def _set_times(entry: os.stat_result, target: str) -> None:
    with contextlib.suppress(FileNotFoundError):  # what was not copied
        os.utime(target, ns=(entry.st_atime_ns, entry.st_mtime_ns), follow_symlinks=False)
