"""Several files that come one after the other, written in few ways there and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Protocol

from gateway.errors import BadPath
from gateway.files.entries import Entry
from gateway.files.service import INLINE_BYTES, Files, Metadata
from gateway.use.place import Place

BATCH_BYTES = 192 * 1024
BATCH_FILES = 128


class Content(Protocol):
    """Of a file: its first bytes and, where there is more, the rest."""

    @property
    def first(self) -> bytes: ...

    @property
    def rest(self) -> Iterator[bytes] | None: ...


class Part(Content, Protocol):
    """The same with a name."""

    @property
    def name(self) -> str: ...


def write_several(
    files: Files, place: Place, directory: bytes, parts: Iterable[Part]
) -> list[Entry]:
    """Write them below a directory; what is there then. Raises BadPath for a name that leaves it,
    and what `Files.write` does: those before it are written."""
    return _written(
        ((below(directory, part.name), part) for part in parts),
        lambda some: files.write_many(place, some),
        lambda path, content: files.write(place, path, content)[0],
    )


def overwrite_several(
    files: Files, place: Place, parts: Iterable[tuple[bytes, Content]], metadata: Metadata
) -> list[Entry]:
    """Write them at these paths, in place and with the same metadata. Raises what
    `Files.overwrite` does, likewise."""
    return _written(
        parts,
        lambda some: files.overwrite_many(place, some, metadata),
        lambda path, content: files.overwrite(place, path, content, metadata)[0],
    )


def _written(
    parts: Iterable[tuple[bytes, Content]],
    write_many: Callable[[Sequence[tuple[bytes, bytes]]], list[Entry]],
    write: Callable[[bytes, Iterable[bytes]], Entry],
) -> list[Entry]:
    done: list[Entry] = []
    batch: list[tuple[bytes, bytes]] = []
    size = 0
    for path, part in parts:
        if part.rest is None and len(part.first) <= INLINE_BYTES:
            if len(batch) >= BATCH_FILES or size + len(part.first) > BATCH_BYTES:
                done += write_many(batch)
                batch, size = [], 0
            batch.append((path, part.first))
            size += len(part.first)
            continue
        if batch:
            done += write_many(batch)
            batch, size = [], 0
        done.append(write(path, chain([part.first], part.rest or ())))
    if batch:
        done += write_many(batch)
    return done


def below(directory: bytes, name: str) -> bytes:
    """The path of a name in a directory. Raises BadPath."""
    encoded = name.encode("utf-8", "surrogateescape")
    parts = encoded.split(b"/")
    if not encoded or encoded.startswith(b"/") or b".." in parts or b"\0" in encoded:
        raise BadPath("a file's name must lead to something in the directory")
    return directory.rstrip(b"/") + b"/" + encoded
