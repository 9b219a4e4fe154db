"""The list of sandboxes on E2B's control plane: filters, order and pages."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qsl, unquote

from flask import Blueprint, Response, request

from gateway.api.e2b.backend import SandboxService, SandboxView
from gateway.api.e2b.control_answers import listed, written
from gateway.api.e2b.notes import metadata_of, template_of
from gateway.errors import BadFields
from gateway.middleware import authentication

MOST_PER_PAGE = 100

STATES = frozenset(("running", "paused"))


def blueprint(sandboxes: SandboxService) -> Blueprint:
    """The lists, of both versions."""
    routes = Blueprint("e2b_lists", __name__, url_prefix="/e2b/control")

    def those() -> list[SandboxView]:
        found, _ = sandboxes.list(
            status=None,
            labels={},
            limit=None,
            after=None,
            owner=authentication.caller().name or None,
        )
        return [view for view in found if view.status != "starting"]

    @routes.get("/sandboxes")
    def running() -> Response:
        """Version 1: those that run, all at once."""
        wanted = metadata_filter(request.args.get("metadata"))
        return written(
            [
                listed(view)
                for view in newest_first(those())
                if view.status != "paused" and _has(view, wanted)
            ]
        )

    @routes.get("/v2/sandboxes")
    def page() -> Response:
        """Version 2."""
        wanted = metadata_filter(request.args.get("metadata"))
        states = states_filter(request.args.getlist("state"))
        started_after = time_filter("startedAfter")
        template = request.args.get("template") or None
        found = [
            view
            for view in newest_first(those())
            if _state(view) in states
            and _has(view, wanted)
            and (started_after is None or view.created_at >= started_after)
            and (template is None or template in (template_of(view), view.image, view.snapshot))
        ]
        if choice("order", ("asc", "desc"), "desc") == "asc":
            found.reverse()
        return page_of(found, [(view.created_at, view.sandbox_id) for view in found], listed)

    return routes


def page_of(found: Sequence[Any], places: Sequence[tuple[float, str]], write: Any) -> Response:
    """A page of what was found, which is in the order of its places; `X-Next-Token` leads to the
    next one, where there is one. Raises BadFields."""
    limit = whole("limit", MOST_PER_PAGE, 1, MOST_PER_PAGE)
    begin = 0
    token = request.args.get("nextToken") or None
    if token is not None and places:
        last = read_token(token)
        descends = places[0] > places[-1]
        begin = next(
            (
                at
                for at, place in enumerate(places)
                if (place < last if descends else place > last)
                or (len(places) == 1 and place != last)
            ),
            len(places),
        )
    some = found[begin : begin + limit]
    headers = {}
    if begin + limit < len(found):
        headers["X-Next-Token"] = token_of(places[begin + limit - 1])
    return written([write(one) for one in some], 200, headers)


def newest_first(views: Sequence[SandboxView]) -> list[SandboxView]:
    """By start and, of the same moment, by id."""
    return sorted(views, key=lambda view: (view.created_at, view.sandbox_id), reverse=True)


def metadata_filter(said: str | None) -> dict[str, str]:
    """`k=v&k2=v2`, each key and value percent-encoded once more below the query string's own
    encoding."""
    if not said:
        return {}
    pairs = parse_qsl(said, keep_blank_values=True, max_num_fields=256)
    return {unquote(name): unquote(value) for name, value in pairs}


def states_filter(said: Sequence[str]) -> frozenset[str]:
    """Comma separated, repeated, or both; none: all. Raises BadFields."""
    wanted = frozenset(word.strip() for one in said for word in one.split(",") if word.strip())
    if wanted - STATES:
        raise refused("state", "must be running or paused")
    return wanted or STATES


def time_filter(name: str) -> float | None:
    """RFC 3339, in seconds since the epoch. Raises BadFields."""
    said = request.args.get(name) or None
    if said is None:
        return None
    try:
        # A `+` that was sent as it is has become a space.
        at = datetime.fromisoformat(
            said.replace(" ", "+").replace("Z", "+00:00").replace("z", "+00:00")
        )
    except ValueError:
        raise refused(name, "must be a time as in RFC 3339") from None
    return (at if at.tzinfo else at.replace(tzinfo=timezone.utc)).timestamp()


def choice(name: str, words: Sequence[str], usual: str) -> str:
    """One of some words. Raises BadFields."""
    said = request.args.get(name) or usual
    if said not in words:
        raise refused(name, f"must be {' or '.join(words)}")
    return said


def whole(name: str, usual: int, least: int, most: int) -> int:
    """A whole number of a query. Raises BadFields."""
    said = request.args.get(name) or str(usual)
    if not said.isascii() or not said.isdigit() or len(said) > 18 or not least <= int(said) <= most:
        raise refused(name, f"must be a whole number from {least} to {most}")
    return int(said)


def token_of(place: tuple[float, str]) -> str:
    """Leads behind a place."""
    return base64.urlsafe_b64encode(f"{place[0]!r} {place[1]}".encode()).decode().rstrip("=")


def read_token(token: str) -> tuple[float, str]:
    """The place. Raises BadFields."""
    try:
        padded = token + "=" * (-len(token) % 4)
        at, _, sandbox_id = base64.urlsafe_b64decode(padded.encode("ascii")).decode().partition(" ")
        place = float(at), sandbox_id
    except ValueError:
        place = 0.0, ""
    if not place[1]:
        raise refused("nextToken", "is none that was given out")
    return place


def refused(name: str, why: str) -> BadFields:
    """The error about one parameter."""
    return BadFields(f"{name} {why}", errors=[{"loc": [name], "msg": why, "type": "value"}])


def _state(view: SandboxView) -> str:
    return "paused" if view.status == "paused" else "running"


def _has(view: SandboxView, wanted: dict[str, str]) -> bool:
    return wanted.items() <= metadata_of(view).items()
