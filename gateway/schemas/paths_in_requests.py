"""Paths of a sandbox as requests name them: as text, or as base64 where they are no UTF-8."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import parse_qsl

from gateway.errors import BadPath

LONGEST_BYTES = 4096


def path_of(text: str | None, encoded: str | None, query: bytes = b"") -> bytes:
    """The bytes of a path. `query` is that of the request, if the path stands in it. Raises
    BadPath."""
    if encoded is not None:
        path = _decoded(encoded)
        if text and text != path.decode("utf-8", "replace"):
            raise BadPath("the path and its base64 are two different paths")
    else:
        path = (text or "").encode("utf-8")
        if "%" in (text or "") and not _is_utf8(query):
            raise BadPath("the path is not UTF-8: send its bytes as base64")
    if not path:
        raise BadPath("the path is missing or empty")
    if len(path) > LONGEST_BYTES or b"\0" in path:
        raise BadPath(f"a path has at most {LONGEST_BYTES} bytes, and none is zero")
    return path


def _decoded(encoded: str) -> bytes:
    """Of either alphabet; in a query, `+` may have become a space."""
    plain = encoded.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise BadPath("that is not base64") from None


def _is_utf8(query: bytes) -> bool:
    """Whether a query is: of what is not, werkzeug leaves the percent signs."""
    try:
        parse_qsl(query.decode("ascii", "replace"), errors="strict")
    except (UnicodeDecodeError, ValueError):
        return False
    return True
