"""Which coding of an answer a client takes (RFC 9110, section 12.5.3)."""

from __future__ import annotations

from werkzeug.datastructures import Accept
from werkzeug.exceptions import NotAcceptable


def chosen(accepted: Accept) -> str:
    """`identity` wherever it is taken, else `gzip`. Raises NotAcceptable."""
    quality = {str(coding).lower(): weight for coding, weight in accepted}
    others = quality.get("*")
    identity = quality.get("identity", 1 if others is None else others)
    if identity > 0:
        return "identity"
    if quality.get("gzip", others or 0) > 0:
        return "gzip"
    raise NotAcceptable("no acceptable encoding found, supported: identity, gzip")
