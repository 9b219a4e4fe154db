"""Headers of answers that are plain data, errors and gunicorn's own refusals included."""

from __future__ import annotations

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
    # Pages of sandboxes that are opened from here cannot reach back by `window.opener`.
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""What a surface's answers carry unless it says otherwise."""
