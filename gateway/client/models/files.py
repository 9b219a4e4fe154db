"""Files in a sandbox."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from .answer import Answer


@dataclass(frozen=True)
class FileStat(Answer):
    """What is at a path. `type` is `file`, `directory`, `symlink` or `other`; `mode` is octal, as
    "0644"; `modified_at` seconds since the epoch. `path_b64` has the bytes of a path that is not
    UTF-8."""

    path: str
    name: str
    type: str
    size: int
    mode: str
    owner: str
    group: str
    modified_at: float
    target: str | None = None
    etag: str | None = None
    path_b64: str | None = None

    @property
    def is_directory(self) -> bool:
        """Links to directories are none."""
        return self.type == "directory"

    @property
    def path_bytes(self) -> bytes:
        """The path as the sandbox has it."""
        if self.path_b64 is not None:
            return base64.b64decode(self.path_b64)
        return self.path.encode()


@dataclass(frozen=True)
class FileEvent(Answer):
    """Something has happened to a file. `event` is `created`, `written`, `removed`, `renamed` (to
    `to`), `attributes`; or `overflow`: more has happened than could be told, list it anew."""

    event: str
    path: str = ""
    to: str | None = None
    stat: FileStat | None = None
    path_b64: str | None = None
    to_b64: str | None = None


def path_query(path: str | bytes, prefix: str = "path") -> dict[str, Any]:
    """How a path is given in a query or a body: as text, or as base64 where it is no UTF-8."""
    if isinstance(path, bytes):
        return {f"{prefix}_b64": base64.urlsafe_b64encode(path).decode("ascii")}
    try:
        path.encode()
    except UnicodeEncodeError:  # surrogates, as os.fsdecode makes them
        return path_query(path.encode("utf-8", "surrogateescape"), prefix)
    return {prefix: path}
