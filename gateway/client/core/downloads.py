"""Downloads: a file goes on where the connection broke, an archive begins once only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ..api_error import ConnectionLost
from ..error_codes import Changed
from ..models.files import path_query
from .file_calls import Path, address
from .retrying import Retrying
from .steps import Broken, Pause, Read, Request, Story, Told, segment

Progress = Callable[[int, "int | None"], None]
"""Called with the bytes that are done and, where it is known, how many there are."""


class Sink(Protocol):
    """Where what is downloaded is written."""

    def write(self, data: bytes, /) -> object:
        """All of it."""


@dataclass(frozen=True)
class DownloadBegun:
    """`size_bytes` is None where the file does not say, as those of /proc."""

    size_bytes: int | None
    etag: str | None


def download(
    retrying: Retrying, sandbox: str, path: Path, offset: int = 0, length: int | None = None
) -> Story[DownloadBegun | bytes]:
    """A file, or a part of it. After a break it goes on by `Range`, if it is still the same file.
    Raises Changed where it is not."""
    position, end = offset, None if length is None else offset + length
    if length == 0:
        yield Told(DownloadBegun(0, None))
        return
    begun: DownloadBegun | None = None
    broken_since: float | None = None
    attempt = 0
    while True:
        headers = {}
        if position or end is not None:
            headers["Range"] = f"bytes={position}-{'' if end is None else end - 1}"
        try:
            answer = yield from retrying.exchange(
                Request(
                    "GET", address(sandbox), path_query(path), headers=headers, is_streamed=True
                )
            )
            here = _begun(answer.headers.get("content-length"), answer.headers.get("etag"))
            if begun is None:
                begun = here
                yield Told(here)
            elif here.etag is None or here.etag != begun.etag or answer.status != 206:
                raise Changed({"message": "the file has changed during the download"})
            if answer.status != 206 and offset:
                raise Changed({"message": "the file has no parts"})
            left = here.size_bytes
            while data := (yield Read()):
                broken_since, attempt = None, 0
                position += len(data)
                left = None if left is None else left - len(data)
                yield Told(data)
            if not left:
                return
            reason = "the answer ended before the file"
        except Broken as broken:
            reason = str(broken)
        now = retrying.clock()
        broken_since = now if broken_since is None else broken_since
        if now - broken_since > retrying.timeout_s or (begun is not None and begun.etag is None):
            raise ConnectionLost(f"the connection to the gateway broke: {reason}")
        yield Pause(retrying.backoff_s(attempt))
        attempt += 1


def _begun(size: str | None, etag: str | None) -> DownloadBegun:
    return DownloadBegun(int(size) if size is not None else None, etag)


def download_archive(
    retrying: Retrying, sandbox: str, path: Path, *, gzip: bool
) -> Story[DownloadBegun | bytes]:
    """A directory as tar or tar.gz. It is made while it is read: one that breaks off does not go
    on. Raises ConnectionLost."""
    yield from retrying.exchange(
        Request(
            "GET",
            f"/sandboxes/{segment(sandbox)}/archive",
            path_query(path),
            headers={"Accept": "application/gzip" if gzip else "application/x-tar"},
            is_streamed=True,
        )
    )
    yield Told(DownloadBegun(None, None))
    try:
        while data := (yield Read()):
            yield Told(data)
    except Broken as broken:
        raise ConnectionLost(f"the archive broke off: {broken}") from None
