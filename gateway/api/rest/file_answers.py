"""What is at paths, as JSON."""

from __future__ import annotations

from collections.abc import Iterable

import orjson
from flask import Response

from gateway.files.entries import Entry


def entry(found: Entry, status: int = 200) -> Response:
    """One `FileStat`."""
    return Response(orjson.dumps(found), status, content_type="application/json")


def entries(found: Iterable[Entry], status: int = 200) -> Response:
    """An array of them."""
    return Response(orjson.dumps(list(found)), status, content_type="application/json")
