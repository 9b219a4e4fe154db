"""Several files that come one after the other, written in few ways there and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Protocol

from gateway.errors import BadPath
from gateway.files.entries import Entry
from gateway.files.service import INLINE_BYTES, Files
from gateway.use.place import Place

BATCH_BYTES = 192 * 1024
BATCH_FILES = 128


class Part(Protocol):
    """A file: its name, its first bytes and, where there is more, the rest."""

    @property
    def name(self) -> str: ...

    @property
    def first(self) -> bytes: ...

    @property
    def rest(self) -> Iterator[bytes] | None: ...


def write_several(
    files: Files, place: Place, directory: bytes, parts: Iterable[Part]
) -> list[Entry]:
    """Write them below a directory; what is there then. Raises BadPath for a name that leaves it,
    and what `Files.write` does: those before it are written."""
    done: list[Entry] = []
    batch: list[tuple[bytes, bytes]] = []
    size = 0
    for part in parts:
        path = below(directory, part.name)
        if part.rest is None and len(part.first) <= INLINE_BYTES:
            if len(batch) >= BATCH_FILES or size + len(part.first) > BATCH_BYTES:
                done += files.write_many(place, batch)
                batch, size = [], 0
            batch.append((path, part.first))
            size += len(part.first)
            continue
        if batch:
            done += files.write_many(place, batch)
            batch, size = [], 0
        done.append(files.write(place, path, chain([part.first], part.rest or ()))[0])
    if batch:
        done += files.write_many(place, batch)
    return done


def below(directory: bytes, name: str) -> bytes:
    """The path of a name in a directory. Raises BadPath."""
    encoded = name.encode("utf-8", "surrogateescape")
    parts = encoded.split(b"/")
    if not encoded or encoded.startswith(b"/") or b".." in parts or b"\0" in encoded:
        raise BadPath("a file's name must lead to something in the directory")
    return directory.rstrip(b"/") + b"/" + encoded
