"""Calls about files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..error_codes import PathNotFound
from ..models.files import FileStat, path_query
from .event_stream import EventStreamTooLong
from .retrying import Retrying
from .steps import Body, Call, Read, Request, segment

Path = str | bytes
"""As the sandbox's user sees it: absolute, or from the home directory on. Bytes where it is no
UTF-8; text that `os.fsdecode` made of such bytes does as well."""

TRANSFER_SILENCE_S = 600.0
"""The answer to an upload comes when all is on the sandbox's disk; an archive is unpacked first."""

LONGEST_LIST_BYTES = 1024 * 1024 * 1024


def write(
    retrying: Retrying,
    sandbox: str,
    path: Path,
    body: Body,
    *,
    mode: int | None = None,
    if_match: str | None = None,
    is_new: bool = False,
) -> Call[FileStat]:
    """The whole file, in one step. One that breaks off begins again, for nothing of it is there;
    with a condition it does not, for the second would meet the first."""
    headers = {"If-Match": if_match} if if_match else {}
    if is_new:
        headers["If-None-Match"] = "*"
    query = path_query(path) | ({} if mode is None else {"mode": f"{mode & 0o777:04o}"})
    answer = yield from retrying.exchange(
        Request(
            "PUT",
            address(sandbox),
            query,
            body=body,
            headers=headers,
            is_repeatable=not headers,
            silence_s=TRANSFER_SILENCE_S,
        )
    )
    return FileStat.from_json(answer.json())


def write_archive(retrying: Retrying, sandbox: str, path: Path, body: Body) -> Call[None]:
    """Unpack a tar or tar.gz into a directory, which is merged with what is there."""
    yield from retrying.exchange(
        Request(
            "PUT",
            f"/sandboxes/{segment(sandbox)}/archive",
            path_query(path),
            body=body,
            silence_s=TRANSFER_SILENCE_S,
        )
    )


def stat(retrying: Retrying, sandbox: str, path: Path) -> Call[FileStat]:
    """What is at a path; links are not followed."""
    answer = yield from retrying.exchange(
        Request("GET", f"{address(sandbox)}/stat", path_query(path))
    )
    return FileStat.from_json(answer.json())


def find_all(retrying: Retrying, sandbox: str, path: Path, depth: int) -> Call[list[FileStat]]:
    """A directory, sorted by path; with `depth` what is in those below it too."""
    yield from retrying.exchange(
        Request(
            "GET",
            f"{address(sandbox)}/list",
            {**path_query(path), "depth": depth},
            headers={"Accept": "application/x-ndjson"},
            is_streamed=True,
        )
    )
    pieces: list[bytes] = []
    size = 0
    while piece := (yield Read()):
        pieces.append(piece)
        size += len(piece)
        if size > LONGEST_LIST_BYTES:
            raise EventStreamTooLong("the list is too long")
    lines = b"".join(pieces).splitlines()
    return [FileStat.from_json(json.loads(line)) for line in lines if line]


def make_directory(
    retrying: Retrying, sandbox: str, path: Path, *, parents: bool
) -> Call[FileStat]:
    """With `parents` missing ones above are made too, and one that is there is no error."""
    answer = yield from _change(
        retrying, sandbox, "mkdir", {**path_query(path), "parents": parents}, parents
    )
    return FileStat.from_json(answer)


def move(
    retrying: Retrying, sandbox: str, verb: str, source: Path, target: Path, *, overwrite: bool
) -> Call[FileStat]:
    """`verb`: `move` or `copy`. `target` is the new path itself."""
    body = {**path_query(source, "from"), **path_query(target, "to"), "overwrite": overwrite}
    answer = yield from _change(retrying, sandbox, verb, body, verb == "copy" and overwrite)
    return FileStat.from_json(answer)


def _change(
    retrying: Retrying, sandbox: str, verb: str, body: Mapping[str, Any], is_repeatable: bool
) -> Call[Any]:
    answer = yield from retrying.exchange(
        Request(
            "POST",
            f"{address(sandbox)}/{verb}",
            json=dict(body),
            is_repeatable=is_repeatable,
            silence_s=TRANSFER_SILENCE_S,
        )
    )
    return answer.json()


def delete(retrying: Retrying, sandbox: str, path: Path, *, recursive: bool) -> Call[None]:
    """A directory that is not empty needs `recursive`; links are not followed."""
    query = {**path_query(path), "recursive": recursive or None}
    try:
        yield from retrying.exchange(
            Request("DELETE", address(sandbox), query, silence_s=TRANSFER_SILENCE_S)
        )
    except PathNotFound as error:
        if not error.is_uncertain:
            raise


def address(sandbox: str) -> str:
    """Where the files of a sandbox are."""
    return f"/sandboxes/{segment(sandbox)}/files"
