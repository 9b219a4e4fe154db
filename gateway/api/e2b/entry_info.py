"""What is at a path, as E2B's clients read it (`filesystem.EntryInfo`)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from gateway.api.e2b.users import DEFAULT
from gateway.files.entries import Details, Entry

_TYPES = {
    "file": "FILE_TYPE_FILE",
    "directory": "FILE_TYPE_DIRECTORY",
    "symlink": "FILE_TYPE_SYMLINK",
    "other": "FILE_TYPE_UNSPECIFIED",
}
_LETTERS = {"file": "", "directory": "d", "symlink": "L", "other": "?"}
_SPECIAL_BITS = ((0o4000, "u"), (0o2000, "g"), (0o1000, "t"))
_PERMISSIONS = "rwxrwxrwx"

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST_S = -62135596800.0
_LAST_S = 253402300799.0
"""The years 1 to 9999, which is all that such a time may be."""


def entry_info(entry: Entry) -> dict[str, Any]:
    """Of an entry with details. A link has the type and the mode of what it leads to."""
    details: Details = entry["details"]
    kind, mode = entry["type"], int(entry["mode"], 8)
    info: dict[str, Any] = {
        "name": entry["name"],
        "path": entry["path"],
        "size": str(entry["size"]),
        "permissions": permissions(kind, mode),
        "owner": DEFAULT if details.is_owners and entry["owner"] != "root" else entry["owner"],
        "group": DEFAULT if details.is_groups and entry["group"] != "root" else entry["group"],
        "modifiedTime": timestamp(entry["modified_at"]),
    }
    if kind == "symlink":
        info["isSymlink"] = True
        info["symlinkTarget"] = details.target or ""
        kind, mode = details.leads_to or (kind, mode)
    info |= {"type": _TYPES[kind], "mode": mode & 0o777}
    if details.metadata:
        info["metadata"] = dict(details.metadata)
    return info


def permissions(kind: str, mode: int) -> str:
    """As Go's `FileMode.String` says them: `-rw-r--r--`, `drwxr-xr-x`, `dtrwxrwxrwx`."""
    letters = _LETTERS[kind] + "".join(letter for bit, letter in _SPECIAL_BITS if mode & bit)
    bits = (letter if mode & 1 << 8 - place else "-" for place, letter in enumerate(_PERMISSIONS))
    return (letters or "-") + "".join(bits)


def timestamp(epoch_s: float) -> str:
    """RFC 3339, in UTC."""
    moment = _EPOCH + timedelta(seconds=min(max(epoch_s, _FIRST_S), _LAST_S))
    return moment.replace(tzinfo=None).isoformat() + "Z"
