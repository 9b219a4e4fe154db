"""`request_id` in an address: it may hold any character, a slash too.

A server decodes the whole path before it is routed, and then `a%2Foutput` (the command `a/output`)
is the same as `a/output` (what the command `a` wrote). So the id is put back, still encoded, into
the path that is routed, and decoded by the route's converter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from flask import Flask
from werkzeug.routing import BaseConverter

CONVERTER = "request_id"

_TAIL = re.compile(r"/sandboxes/[^/?]+/commands/(?P<id>[^/?#]+)(?P<rest>(?:/[^/?#]*)?)(?:[?#]|$)")

Wsgi = Callable[[dict[str, Any], Any], Any]


class RequestIdConverter(BaseConverter):
    """One segment of the path, percent-encoded also within the application."""

    def to_python(self, value: str) -> str:
        return unquote(value)

    def to_url(self, value: str) -> str:
        encoded = quote(value, safe="")
        # Clients would take `.` and `..` for steps along the path.
        return encoded.replace(".", "%2E") if encoded in (".", "..") else encoded


def install(app: Flask) -> None:
    """Make `<request_id:…>` known in the routes of `app`."""
    app.url_map.converters[CONVERTER] = RequestIdConverter
    inner: Wsgi = app.wsgi_app

    def wsgi_app(environ: dict[str, Any], start_response: Any) -> Any:
        environ["PATH_INFO"] = with_encoded_id(environ)
        return inner(environ, start_response)

    app.wsgi_app = wsgi_app  # type: ignore[method-assign]  # Flask's own way to wrap it


def with_encoded_id(environ: dict[str, Any]) -> str:
    """`PATH_INFO`, but with the id of a command as it was before the server decoded it.

    Servers keep that in `RAW_URI` or `REQUEST_URI` (gunicorn, werkzeug, uWSGI, mod_wsgi). Where it
    is missing, or another layer has changed the path since, an id with a slash cannot be told.
    """
    path: str = environ.get("PATH_INFO", "")
    raw: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    found = _TAIL.search(raw)
    if found is not None:
        tail = _decoded(found["id"] + found["rest"])
        if path.endswith(tail):
            return path[: -len(tail)] + found["id"] + _decoded(found["rest"])
    found = _TAIL.search(path)
    if found is not None:
        return path[: found.start("id")] + quote(found["id"], encoding="latin-1") + found["rest"]
    return path


def _decoded(part: str) -> str:
    """As PEP 3333 wants it: bytes, each as one character."""
    return unquote_to_bytes(part).decode("latin-1")
