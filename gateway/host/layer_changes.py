"""What was added, modified and deleted in a container's file system between two moments.

A directory counts as modified by its owner and mode only: what was made in it is named itself. What
is gone with a directory is not named beside it. A renamed file is a deleted and an added one.
"""

from __future__ import annotations

import heapq
import os
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.host.image_files import topmost
from gateway.host.layer_index import Entry, Index
from gateway.host.layer_users import USERS_FILE
from gateway.settings import SHARED_UID

MOST_PATHS = 1000
MOST_PATH_BYTES = 64 * 1024
"""Of each kind that are named; all are counted."""

MOST_S = 10.0
"""What was not compared by then is not told."""


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
    return _Comparison(before, after, image).changes()


class _Comparison:
    """Of two moments of one layer. A path is looked for in the image only where the layer did not
    have it, for that takes a look into each of its directories."""

    def __init__(self, before: Index, after: Index, image: Image) -> None:
        self._before, self._after, self._image = before, after, image
        self._kinds: dict[str, list[bytes]] = {"added": [], "modified": [], "deleted": []}
        # Directories in which nothing of the image shows, then and now.
        self._hidden_before: set[bytes] = set()
        self._hidden_after: set[bytes] = set()

    def changes(self) -> LayerChanges:
        deadline = time.monotonic() + MOST_S
        is_whole = self._before.is_whole and self._after.is_whole
        for path, entry in self._after.entries.items():
            if time.monotonic() > deadline:
                is_whole = False
                break
            self._look_at(path, entry)
        self._kinds["deleted"] += _gone(self._before, self._after)
        named = {kind: _first_of(paths) for kind, paths in self._kinds.items()}
        counts = {kind: len(paths) for kind, paths in self._kinds.items()}
        is_cut = any(len(named[kind]) < counts[kind] for kind in named)
        return LayerChanges(**named, counts=counts, truncated=is_cut or not is_whole)

    def _look_at(self, path: bytes, now: Entry) -> None:
        parent = path.rpartition(b"/")[0]
        was = self._before.entries.get(path)
        showed = parent not in self._hidden_before
        shows = parent not in self._hidden_after
        old = None
        if (showed and was is None) or (now.is_directory() and (showed or shows)):
            old = self._image.entry(path)
        if was is not None or self._before.is_whole or now.changed_ns >= self._before.began_ns:
            kind = _kind_of(path, was, now, old if showed else None)
            if kind is not None:
                self._kinds[kind].append(path)
        if not now.is_directory():
            return
        is_below = old is not None and stat.S_ISDIR(old[0].st_mode)
        showed = showed and is_below and (was is None or (was.is_directory() and not was.is_opaque))
        shows = shows and is_below and not now.is_opaque
        if not showed:
            self._hidden_before.add(path)
        if not shows:
            self._hidden_after.add(path)
        if showed and not shows:
            self._kinds["deleted"] += self._lost_in(path)

    def _lost_in(self, path: bytes) -> Iterator[bytes]:
        """What the image has in a directory that hides it now, and is not there again. What the
        layer had instead of it is seen to be gone by itself."""
        for name in self._image.names_in(path):
            place = path + b"/" + name
            if place not in self._after.entries and place not in self._before.entries:
                yield place


def _first_of(paths: list[bytes]) -> tuple[bytes, ...]:
    """As many as may be named, sorted. Not all are: to sort 100,000 takes some 50 ms, in which no
    other thread runs."""
    first = heapq.nsmallest(MOST_PATHS, paths)
    size = 0
    for number, path in enumerate(first):
        size += len(path)
        if size > MOST_PATH_BYTES:
            return tuple(first[:number])
    return tuple(first)


def _kind_of(
    path: bytes, was: Entry | None, now: Entry, old: tuple[os.stat_result, str] | None
) -> str | None:
    """`was` is what the layer had there, and `old` what showed of the image where it had
    nothing."""
    if now.is_whiteout:
        was_there = old is not None if was is None else not was.is_whiteout
        return "deleted" if was_there else None
    if was is not None and not was.is_whiteout:
        return "modified" if _differs(path, was, now) else None
    if was is not None or old is None:
        return None if _is_the_engines(path, now) else "added"
    return None if _is_as_in_image(path, now, old[0]) else "modified"


def _is_the_engines(path: bytes, now: Entry) -> bool:
    """Over which it has mounted the first process of the container."""
    return now.size == 0 and path.rpartition(b"/")[2] == b"docker-init" and now.uid == 0


def _differs(path: bytes, was: Entry, now: Entry) -> bool:
    if now.is_directory() and was.is_directory():
        return (was.mode, was.uid, was.gid) != (now.mode, now.uid, now.gid)
    if path == os.fsencode(USERS_FILE):  # the gateway writes into that of a copy
        return (was.number, was.written_ns, was.mode) != (now.number, now.written_ns, now.mode)
    return (was.number, was.changed_ns) != (now.number, now.changed_ns)


def _is_as_in_image(path: bytes, now: Entry, old: os.stat_result) -> bool:
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


def _names(directory: str) -> list[bytes]:
    try:
        return os.listdir(os.fsencode(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []
