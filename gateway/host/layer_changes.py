"""What was added, modified and deleted in a container's file system between two moments.

A directory counts as modified by its owner and mode only: what was made in it is named itself. What
is gone with a directory is not named beside it. A renamed file is a deleted and an added one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.host.image_files import topmost
from gateway.host.layer_index import Entry, Index
from gateway.host.layer_users import USERS_FILE
from gateway.settings import SHARED_UID

MOST_PATHS = 1000
"""Of each kind that are named; all are counted."""


@dataclass(frozen=True)
class LayerChanges:
    """Paths relative to the root, as the bytes that they are, sorted."""

    added: tuple[bytes, ...]
    modified: tuple[bytes, ...]
    deleted: tuple[bytes, ...]
    counts: dict[str, int]
    """Of all, also those that are not named, by kind."""
    truncated: bool
    """Whether some are not named, or were not looked at."""


class Image:
    """What is below a container's writable layer: directories on this host, the topmost first."""

    def __init__(self, layers: Sequence[str]) -> None:
        self._layers = layers

    def entry(self, path: bytes) -> tuple[os.stat_result, str] | None:
        """What is seen at a path, and its place on this host."""
        found = topmost(os.fsdecode(path), self._layers)
        if found is None:
            return None
        return os.lstat(found.source), found.source

    def names_in(self, path: bytes) -> set[bytes]:
        """What is in a directory of the image."""
        found = {name for layer in self._layers for name in _names(f"{layer}/{os.fsdecode(path)}")}
        return {name for name in found if self.entry(path + b"/" + name) is not None}


def changes_between(before: Index, after: Index, image: Image) -> LayerChanges:
    """`before` is `NOTHING` for the image itself. Runs in a thread. Raises OSError."""
    kinds: dict[str, list[bytes]] = {"added": [], "modified": [], "deleted": []}
    hidden: set[bytes] = set()
    """Directories of which the image shows nothing."""
    for path, entry in after.entries.items():
        parent = path.rpartition(b"/")[0]
        below_hidden = parent in hidden
        was = before.entries.get(path)
        kind = _kind_of(path, was, entry, None if below_hidden else image)
        if kind is not None:
            kinds[kind].append(path)
        if entry.is_directory():
            old = None if below_hidden else image.entry(path)
            if entry.is_opaque or old is None or not stat.S_ISDIR(old[0].st_mode):
                hidden.add(path)
            if entry.is_opaque and (was is None or not was.is_opaque) and not below_hidden:
                kinds["deleted"] += _lost_in(path, after, image)
    kinds["deleted"] += _gone(before, after)
    return LayerChanges(
        **{kind: tuple(sorted(paths)[:MOST_PATHS]) for kind, paths in kinds.items()},
        counts={kind: len(paths) for kind, paths in kinds.items()},
        truncated=not (before.is_whole and after.is_whole)
        or any(len(paths) > MOST_PATHS for paths in kinds.values()),
    )


def _kind_of(path: bytes, was: Entry | None, now: Entry, image: Image | None) -> str | None:
    if now.is_whiteout:
        return None if was is not None and was.is_whiteout else "deleted"
    if was is not None and not was.is_whiteout:
        return "modified" if _differs(path, was, now) else None
    old = image.entry(path) if image is not None and was is None else None
    if old is None:
        return None if _is_the_engines(path, now) else "added"
    return None if _is_as_in_image(path, now, *old) else "modified"


def _is_the_engines(path: bytes, now: Entry) -> bool:
    """Over which it has mounted the first process of the container."""
    return now.size == 0 and path.rpartition(b"/")[2] == b"docker-init" and now.uid == 0


def _differs(path: bytes, was: Entry, now: Entry) -> bool:
    if now.is_directory() and was.is_directory():
        return (was.mode, was.uid, was.gid) != (now.mode, now.uid, now.gid)
    if path == os.fsencode(USERS_FILE):  # the gateway writes into that of a copy
        return (was.number, was.written_ns, was.mode) != (now.number, now.written_ns, now.mode)
    return (was.number, was.changed_ns) != (now.number, now.changed_ns)


def _is_as_in_image(path: bytes, now: Entry, old: os.stat_result, place: str) -> bool:
    """The gateway copies what belongs to the image's user, for another owner, and its file of
    users; a container that writes to a file and changes nothing has it copied as well."""
    if stat.S_IFMT(now.mode) != stat.S_IFMT(old.st_mode) or now.gid != old.st_gid:
        return False
    if now.uid != old.st_uid and old.st_uid != SHARED_UID:
        return False
    if now.is_directory():
        return now.mode == old.st_mode
    if now.written_ns != old.st_mtime_ns or now.mode & 0o1777 != old.st_mode & 0o1777:
        return False
    return path == os.fsencode(USERS_FILE) or now.size == old.st_size


def _gone(before: Index, after: Index) -> Iterator[bytes]:
    """What was in the layer and is not: without what was in a directory that is gone as well."""
    for path, was in before.entries.items():
        if path in after.entries or was.is_whiteout or not after.is_whole:
            continue
        parent = path.rpartition(b"/")[0]
        if not parent or (parent in after.entries and after.entries[parent].is_directory()):
            yield path


def _lost_in(path: bytes, after: Index, image: Image) -> list[bytes]:
    """What the image has in a directory that hides it now, and is not there again."""
    old = image.entry(path)
    if old is None or not stat.S_ISDIR(old[0].st_mode):
        return []
    places = (path + b"/" + name for name in image.names_in(path))
    return [place for place in places if place not in after.entries]


def _names(directory: str) -> list[bytes]:
    try:
        return os.listdir(os.fsencode(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
