"""Bodies of E2B's uploads: one file as it is, or several in a multipart body."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from flask import request

from gateway.api.bodies import uploads
from gateway.api.bodies.multipart_bodies import Part, parts
from gateway.api.e2b.paths_in_messages import path_of
from gateway.errors import BadMediaType, BadPath, BadRequest
from gateway.files.entries import Entry
from gateway.files.service import INLINE_BYTES, Files, Metadata
from gateway.files.several import overwrite_several
from gateway.use.place import Place

FIELD = "file"

_FILE_NAME = re.compile(r'filename="([^"]*)"')


def write(
    files: Files,
    place: Place,
    query: Mapping[str, str],
    metadata: Metadata,
    most_unpacked_bytes: int,
) -> list[Entry]:
    """Write what is in the current request's body; what is there then. Raises BadMediaType,
    BadRequest, and what `Files.overwrite` does: files before one that is refused are written."""
    if request.mimetype == "multipart/form-data":
        pieces = uploads.unpacked_pieces(most_unpacked_bytes)
        named = _named(parts(INLINE_BYTES, pieces), query.get("path"))
        found = overwrite_several(files, place, named, metadata)
        if not found:
            raise BadRequest("the body has no part that is named 'file'")
        return found
    if request.mimetype != "application/octet-stream":
        raise BadMediaType("the body has to be multipart/form-data or application/octet-stream")
    path = _given(query.get("path"))
    if request.content_length is not None and not uploads.coding():
        content = uploads.whole_if_small(INLINE_BYTES)
    else:
        pieces = uploads.unpacked_pieces(most_unpacked_bytes)
        content = uploads.all_or_pieces(pieces, INLINE_BYTES)
    return [files.overwrite(place, path, content, metadata)[0]]


def _given(path: str | None) -> bytes:
    if not path:
        raise BadPath("there is no path in the query")
    return path_of(path)


def _named(found: Iterator[Part], path: str | None) -> Iterator[tuple[bytes, Part]]:
    """Where each file belongs: at `path` if that is given, else where its name says."""
    taken = set[bytes]()
    for part in found:
        if part.field != FIELD:
            for _ in part.rest or ():
                pass
            continue
        given = _given(path) if path is not None else path_of(file_name(part))
        if given in taken:
            raise BadRequest("several files have the same path")
        taken.add(given)
        yield given, part


def file_name(part: Part) -> str:
    """As clients write it: a quotation mark is `%22`, and httpx doubles backslashes. Raises
    BadPath."""
    found = _FILE_NAME.search(part.disposition)
    name = (part.name or "") if found is None else found[1]
    if found is not None:
        name = name.replace("\\\\", "\\").replace("%22", '"')
    if not name:
        raise BadPath("a part has no file name, and there is no path in the query")
    return name
