"""What a client wants in the place of what it would get anyway (`Accept`, RFC 9110)."""

from __future__ import annotations

from flask import request
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

_LONGEST_ACCEPTED = 1024
"""Characters of `Accept` that are looked at."""


def prefers(media_type: str, instead_of: str) -> bool:
    """Whether the client prefers one type to another: it must name it in `Accept`."""
    accepted = request.headers.get("Accept", "")[:_LONGEST_ACCEPTED]
    named = dict(reversed(list(parse_accept_header(accepted, MIMEAccept))))
    return named.get(media_type, 0) > named.get(instead_of, 0)
