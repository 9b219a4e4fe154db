"""Paths in E2B's messages and queries: relative to the user's home, which `~` means too."""

from __future__ import annotations

from typing import Any

from gateway.errors import BadPath

SERVICE = "filesystem.Filesystem"
"""Whose messages these are."""


def path_of(given: str) -> bytes:
    """For `gateway.files`: nothing at all is the home itself. Raises BadPath."""
    if given in ("", "~"):
        return b"."
    if given.startswith("~/"):
        given = f"./{given[2:]}"
    try:
        return given.encode()
    except UnicodeEncodeError:
        raise BadPath("a path is UTF-8") from None


def path_in(message: dict[str, Any], name: str) -> bytes:
    """That of a field, which may be missing. Raises BadPath."""
    given = message.get(name)
    if given is not None and not isinstance(given, str):
        raise BadPath(f"{name} is no text")
    return path_of(given or "")
