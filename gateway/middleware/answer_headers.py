"""Headers that every answer carries, errors and what gunicorn itself refuses included."""

from __future__ import annotations

from flask import Flask, Response

HEADERS = {
    # An id of a sandbox is a capability: no cache may keep it, no other site be told of it.
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    # What a sandbox wrote is served as what it says it is, and never as a page.
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    # Other sites' pages cannot embed answers, whatever their type.
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""A view that needs other values sets them itself."""


def install(app: Flask) -> None:
    """Add the headers that an answer does not have yet."""

    def add(response: Response) -> Response:
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    app.after_request(add)
