"""What is at a path, from what the sandbox says of it: checked, for it may say anything."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.errors import ProtocolBroken
from gateway.link.exited import writable
from gateway.link.incoming import is_count

LARGEST = 2**63
MOST_METADATA = 16 * 1024
"""Characters of keys and values together."""

LONGEST = 4 * 4096
"""Characters. A path and what a directory adds to it; `U+FFFD` stands for one byte."""

_KINDS = frozenset(("file", "directory", "symlink", "other"))

Entry = dict[str, Any]
"""As `gateway.schemas.models.FileStat` says. A dictionary, for a list has 100,000 of them."""


def entry_of(record: Any) -> Entry:
    """An entry of a record (`gateway.agent.files.records.record`). Raises ProtocolBroken."""
    try:
        path, kind, size, mode, owner, group, modified_at, target, etag, raw, *details = record
    except (TypeError, ValueError):
        raise ProtocolBroken("a file without its facts") from None
    if not (
        _is_text(path)
        and kind in _KINDS
        and is_count(size, LARGEST)
        and is_count(mode, 0o10000)
        and _is_text(owner)
        and _is_text(group)
        and isinstance(modified_at, int | float)
        and not isinstance(modified_at, bool)
        and math.isfinite(modified_at)
        and (target is None or _is_text(target))
        and (etag is None or _is_etag(etag))
        and (raw is None or _is_base64(raw))
    ):
        raise ProtocolBroken("a file with broken facts")
    entry: Entry = {
        "path": writable(path),
        "name": writable(path).rpartition("/")[2] or "/",
        "type": kind,
        "size": size,
        "mode": f"{mode:04o}",
        "owner": writable(owner),
        "group": writable(group),
        "modified_at": modified_at,
    }
    if target is not None:
        entry["target"] = writable(target)
    if etag is not None:
        entry["etag"] = etag
    if raw is not None:
        entry["path_b64"] = raw
    if details:
        entry["details"] = _details_of(details[0])
    return entry


@dataclass(frozen=True)
class Details:
    """What is told beyond the usual of who asks for it (`gateway.agent.files.details.record`).

    `leads_to` is the kind of thing that a link leads to and its mode, None where there is nothing,
    and `target` where that is or would be.
    """

    is_owners: bool
    is_groups: bool
    leads_to: tuple[str, int] | None
    target: str | None
    metadata: Mapping[str, str]


def _details_of(told: Any) -> Details:
    try:
        is_owners, is_groups, kind, mode, target, metadata = told
    except (TypeError, ValueError):
        raise ProtocolBroken("a file without its details") from None
    if not (
        isinstance(is_owners, bool)
        and isinstance(is_groups, bool)
        and (kind is None or (kind in _KINDS and is_count(mode, 0o10000)))
        and (target is None or _is_text(target))
        and _is_metadata(metadata)
    ):
        raise ProtocolBroken("a file with broken details")
    return Details(
        is_owners,
        is_groups,
        None if kind is None else (kind, mode),
        None if target is None else writable(target),
        {writable(key): writable(value) for key, value in metadata.items()},
    )


def _is_metadata(value: object) -> bool:
    return (
        isinstance(value, dict)
        and all(isinstance(text, str) for text in value.values())
        and sum(len(key) + len(text) for key, text in value.items()) <= MOST_METADATA
    )


def text_of(name: str, text: Any, raw: Any) -> Entry:
    """A path, and its bytes where it is not UTF-8. Raises ProtocolBroken."""
    if not _is_text(text) or not (raw is None or _is_base64(raw)):
        raise ProtocolBroken("a path that is none")
    named: Entry = {name: writable(text)}
    return named if raw is None else named | {f"{name}_b64": raw}


def path_of(entry: Entry) -> bytes:
    """The bytes of an entry's path."""
    raw = entry.get("path_b64")
    return base64.b64decode(raw) if raw else entry["path"].encode()


def _is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST


def _is_etag(value: object) -> bool:
    """What can stand in a header: the sandbox's word goes no further otherwise."""
    return (
        isinstance(value, str)
        and 2 < len(value) <= 100
        and value[0] == value[-1] == '"'
        and value[1:-1].isascii()
        and value[1:-1].replace("-", "").isalnum()
    )


def _is_base64(value: object) -> bool:
    if not isinstance(value, str) or len(value) > 2 * LONGEST:
        return False
    try:
        return bool(base64.b64decode(value, validate=True))
    except (binascii.Error, ValueError):
        return False
