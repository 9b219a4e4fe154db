"""Metadata of uploads: `X-Metadata-<key>: <value>`, for all files of a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flask import request

from gateway.errors import BadMetadata

_PREFIX = "x-metadata-"
_NAMESPACE = "user.e2b."
LONGEST_KEY = 246
MOST_BYTES = 4096
"""Of all keys, the namespace before each counted, and values."""


def metadata_of_request() -> dict[str, str]:
    """By keys, in lower case. Raises BadMetadata."""
    return metadata_in(_headers())


def metadata_in(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Likewise, of these headers."""
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        if not key.startswith(_PREFIX):
            continue
        key = key[len(_PREFIX) :]
        if not 0 < len(key) <= LONGEST_KEY:
            raise BadMetadata(f"a metadata key has 1 to {LONGEST_KEY} bytes")
        if not all(" " <= letter <= "~" for letter in key + value):
            raise BadMetadata("metadata are printable ASCII")
        found.setdefault(key, value)
    taken = sum(len(_NAMESPACE) + len(key) + len(value) for key, value in found.items())
    if taken > MOST_BYTES:
        raise BadMetadata(f"keys and values together take more than {MOST_BYTES} bytes")
    return found


def _headers() -> Iterator[tuple[str, str]]:
    """Those with an underscore in their names too, which WSGI cannot tell from a hyphen."""
    received = getattr(request.environ.get("wsgi.input"), "request", None)
    if received is None:
        yield from request.headers
        return
    yield from received.headers
    yield from received.metadata_headers
