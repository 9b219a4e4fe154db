"""How a browser carries the token of a port on, once it was opened by an address that has it.

By path the token stays in the address. Under a host of its own it becomes a cookie of that host,
so that it is in no address, and none that a page could read.
"""

from __future__ import annotations

from urllib.parse import quote

from flask import Response, request

from gateway import clock
from gateway.api.ports.request_headers import Headers
from gateway.identity.access_tokens import Claim
from gateway.middleware import authentication
from gateway.middleware.port_target import COOKIE, PortTarget


def is_wanted(target: PortTarget) -> bool:
    """Whether somebody opens the address in a browser, which then goes to the one without."""
    return (
        _is_of_host(target)
        and request.method == "GET"
        and request.headers.get("Sec-Fetch-Mode") == "navigate"
        and not target.address.startswith(("//", "/\\"))  # another site's address
    )


def redirect(target: PortTarget) -> Response:
    """To the same page, with a cookie in the place of the token."""
    response = Response(status=303)
    response.headers.pop("Content-Type", None)
    response.autocorrect_location_header = False
    response.headers["Location"] = target.address
    for name, value in fields(target):
        response.headers[name] = value
    return response


def fields(target: PortTarget) -> Headers:
    """The cookie, where the current request has brought a token under a host of its own."""
    if not _is_of_host(target):
        return []
    proof = authentication.caller().proof
    left_s = int(proof.expires_at - clock.wall_s()) if isinstance(proof, Claim) else 0
    cookie = f"{COOKIE}={quote(target.token or '', safe='')}"
    return [("Set-Cookie", f"{cookie}; Max-Age={max(0, left_s)}; Path=/; HttpOnly; SameSite=Lax")]


def _is_of_host(target: PortTarget) -> bool:
    return target.by_host and target.token is not None
