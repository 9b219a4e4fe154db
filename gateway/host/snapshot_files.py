"""The files of snapshots: beside the disks, by name, in a directory for root alone."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway.errors import HostToolFailed
from gateway.host.kernel_calls import in_thread
from gateway.host.nameless_files import HeldFile, give_name

_NAME = re.compile(r"[0-9a-z][0-9a-z_-]{0,99}")
_SUFFIX = ".ext4"


class SnapshotFiles:
    """`images` gives the directory of the disks. It, and all here, raises HostToolFailed."""

    def __init__(self, images: Callable[[], Path]) -> None:
        self._images = images

    def place(self, name: str) -> Path:
        """Where the file of this name is, or would be."""
        if not _NAME.fullmatch(name):
            raise HostToolFailed(f"no name for a snapshot: {name!r}")
        return self._directory() / f"{name}{_SUFFIX}"

    def remove(self, name: str) -> None:
        """One that is not there is a success."""
        try:
            in_thread(partial(self.place(name).unlink, missing_ok=True))
        except OSError as error:
            raise HostToolFailed(f"cannot remove a snapshot: {error}") from error

    def sizes(self) -> dict[str, int]:
        """By name, what the blocks of each take, shared ones in full."""
        try:
            return in_thread(partial(_sizes, self._directory()))
        except OSError as error:
            raise HostToolFailed(f"cannot look at the snapshots: {error}") from error

    def _directory(self) -> Path:
        return self._images() / "snapshots"


_INSTANCE = "user.sandbox-gateway.instance"
"""Attribute of a file: whose it is. Its name has that only as a digest, for the gateway itself."""


def keep(made: HeldFile, place: Path, instance: str) -> None:
    """Give a whole one its name, and note which gateway's it is. Runs in a thread, as `opened`.
    Raises OSError."""
    place.parent.mkdir(mode=0o700, exist_ok=True)
    with contextlib.suppress(OSError):  # a file system that has no attributes
        os.setxattr(made.fd, _INSTANCE, instance.encode())
    give_name(made, place)


def opened(place: Path) -> HeldFile:
    """To be read. Raises OSError."""
    return HeldFile(os.open(place, os.O_RDONLY | os.O_NOFOLLOW))


def _sizes(directory: Path) -> dict[str, int]:
    try:
        with os.scandir(directory) as entries:
            found = [one for one in entries if one.name.endswith(_SUFFIX)]
    except FileNotFoundError:  # none was ever taken
        return {}
    sizes = {}
    for one in found:
        try:
            sizes[one.name.removesuffix(_SUFFIX)] = one.stat(follow_symlinks=False).st_blocks * 512
        except FileNotFoundError:
            continue
    return sizes
