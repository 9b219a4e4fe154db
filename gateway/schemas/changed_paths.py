"""From paths as bytes to the changes that clients get."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Protocol

from gateway.schemas.models.changes import ChangeCounts, Changes, Kind, NotUtf8

_KINDS: tuple[Kind, ...] = ("added", "modified", "deleted")


class ChangedPaths(Protocol):
    """Paths relative to the root, as the bytes that they are, sorted."""

    @property
    def added(self) -> Sequence[bytes]: ...

    @property
    def modified(self) -> Sequence[bytes]: ...

    @property
    def deleted(self) -> Sequence[bytes]: ...

    @property
    def counts(self) -> Mapping[str, int]: ...

    @property
    def truncated(self) -> bool: ...


def changes_of(found: ChangedPaths) -> Changes:
    """The answer. Not validated again: it is known to be right."""
    lists: dict[str, list[str]] = {}
    not_utf8: list[NotUtf8] = []
    for kind in _KINDS:
        lists[kind] = []
        for index, path in enumerate(getattr(found, kind)):
            try:
                text = path.decode()
            except UnicodeDecodeError:
                text = path.decode("utf-8", "replace")
                encoded = base64.b64encode(b"/" + path).decode("ascii")
                not_utf8.append(NotUtf8(kind=kind, index=index, path_b64=encoded))
            lists[kind].append(f"/{text}")
    return Changes.model_construct(
        added=lists["added"],
        modified=lists["modified"],
        deleted=lists["deleted"],
        counts=ChangeCounts(**{kind: found.counts[kind] for kind in _KINDS}),
        truncated=found.truncated,
        not_utf8=not_utf8 or None,
    )
