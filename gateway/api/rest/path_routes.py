"""Routes of paths: look at them, list them, and change what is where."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TypeVar
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, request

from gateway.api.asking.json_bodies import read_json
from gateway.api.bodies import file_content
from gateway.api.bodies.streamed_answers import streamed
from gateway.api.rest import file_answers
from gateway.api.rest.accepted_types import prefers
from gateway.api.rest.file_routes import BODY_FAULTS, FAULTS, WRITE_FAULTS, path_in
from gateway.api.rest.query_strings import read_query
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import (
    AlreadyExists,
    GatewayFull,
    NoSpace,
    NotEmpty,
    TooMuchUnread,
)
from gateway.files.entries import Entry
from gateway.files.entries import path_of as path_of_entry
from gateway.files.listing import Listing
from gateway.files.service import Files
from gateway.schemas.models import (
    FileStat,
    FromTo,
    ListQuery,
    MakeDirectory,
    PathQuery,
    User,
    UserQuery,
)
from gateway.schemas.paths_in_requests import path_of
from gateway.schemas.route_documentation import Reply, documented
from gateway.use.place import Place
from gateway.use.sandbox_use import SandboxUses

Value = TypeVar("Value")

NDJSON = "application/x-ndjson"
JSON = "application/json"


def blueprint(files: Files, uses: SandboxUses, waiting: Waiting) -> Blueprint:
    """The routes below `/sandboxes/{sandbox_id}/files/`."""
    routes = Blueprint("paths", __name__, url_prefix="/sandboxes/<sandbox_id>/files")

    def done(sandbox_id: str, user: User, work: Callable[[Place], Value]) -> Value:
        with uses.of(sandbox_id) as use:
            place = files.place(use.place, user)
            return waiting.until(lambda: work(place))

    @routes.get("/stat")
    @documented(
        summary="What is at a path",
        description="Links are not followed.",
        tag="Files",
        query=PathQuery,
        replies={200: Reply(FileStat)},
        errors=FAULTS,
    )
    def stat(sandbox_id: str) -> Response:
        query = read_query(PathQuery)
        path = path_in(query)
        return file_answers.entry(
            done(sandbox_id, query.user, lambda place: files.stat(place, path))
        )

    @routes.get("/list")
    @documented(
        summary="List a directory",
        description="An array, sorted by path, without the directory itself. With `limit` the "
        "answer may have fewer entries than that; `Link` (RFC 8288) leads to the next ones as long "
        "as there are any. With `Accept: application/x-ndjson` each line is one entry.",
        tag="Files",
        query=ListQuery,
        replies={
            200: Reply(
                list[FileStat],
                "What is in it.",
                headers={"Link": "The next page, where there is one."},
            )
        },
        errors=(TooMuchUnread, GatewayFull, *FAULTS),
    )
    def show(sandbox_id: str) -> Response:
        query = read_query(ListQuery)
        path = path_in(query)
        after = (
            path_of(query.after, query.after_b64, request.query_string)
            if query.after or query.after_b64
            else None
        )
        as_lines = prefers(NDJSON, instead_of=JSON)
        with ExitStack() as held:
            place = files.place(held.enter_context(uses.of(sandbox_id)).place, query.user)
            listing = waiting.until(
                lambda: held.enter_context(
                    files.listed(place, path, depth=query.depth, limit=query.limit, after=after)
                )
            )
            if as_lines:
                return _streamed(_lines(listing), held, NDJSON)
            if query.limit is None:
                return _streamed(_array(listing), held, JSON)
            page = waiting.until(lambda: [entry for some in listing for entry in some])
            response = file_answers.entries(page)
            if listing.more and page:
                response.headers["Link"] = f'<{_next_page(page[-1])}>; rel="next"'
            return response

    @routes.post("/mkdir")
    @documented(
        summary="Make a directory",
        tag="Files",
        body=MakeDirectory,
        query=UserQuery,
        replies={
            200: Reply(FileStat, "With `parents`: it was there."),
            201: Reply(FileStat, "It is new."),
        },
        errors=(AlreadyExists, NoSpace, *BODY_FAULTS, *FAULTS),
    )
    def make_directory(sandbox_id: str) -> Response:
        user, body = read_query(UserQuery).user, read_json(MakeDirectory)
        path = path_of(body.path, body.path_b64)
        found, is_new = done(
            sandbox_id, user, lambda place: files.make_directory(place, path, parents=body.parents)
        )
        return file_answers.entry(found, 201 if is_new else 200)

    @routes.post("/move")
    @documented(
        summary="Move a file or a directory",
        description="Also to another file system of the sandbox. `to` is the new path itself.",
        tag="Files",
        body=FromTo,
        query=UserQuery,
        replies={200: Reply(FileStat, "What is there now.")},
        errors=(NotEmpty, *WRITE_FAULTS, *BODY_FAULTS, *FAULTS),
    )
    def move(sandbox_id: str) -> Response:
        user, (source, target, overwrite) = read_query(UserQuery).user, _from_to()
        found = done(
            sandbox_id,
            user,
            lambda place: files.move(place, source, target, overwrite=overwrite),
        )
        return file_answers.entry(found)

    @routes.post("/copy")
    @documented(
        summary="Copy a file or a directory",
        description="A directory with all that is in it; links are copied as links.",
        tag="Files",
        body=FromTo,
        query=UserQuery,
        replies={200: Reply(FileStat, "What is there now.")},
        errors=(NotEmpty, *WRITE_FAULTS, *BODY_FAULTS, *FAULTS),
    )
    def copy(sandbox_id: str) -> Response:
        user, (source, target, overwrite) = read_query(UserQuery).user, _from_to()
        found = done(
            sandbox_id,
            user,
            lambda place: files.copy(place, source, target, overwrite=overwrite),
        )
        return file_answers.entry(found)

    return routes


def _from_to() -> tuple[bytes, bytes, bool]:
    body = read_json(FromTo)
    return (
        path_of(body.source, body.source_b64),
        path_of(body.target, body.target_b64),
        body.overwrite,
    )


def _streamed(pieces: Iterator[bytes], held: ExitStack, media_type: str) -> Response:
    response = streamed(file_content.or_broken_off(pieces), held, media_type)
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _lines(listing: Listing) -> Iterator[bytes]:
    for some in listing:
        yield b"".join(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in some)


def _array(listing: Listing) -> Iterator[bytes]:
    before = b"["
    for some in listing:
        if some:
            yield before + orjson.dumps(some)[1:-1]
            before = b","
    yield b"[]" if before == b"[" else b"]"


def _next_page(last: Entry) -> str:
    """The same query, after the last entry of this page."""
    asked = [
        (name, value)
        for name, value in request.args.items(multi=True)
        if name not in ("after", "after_b64")
    ]
    if "path_b64" in last:
        asked.append(("after_b64", last["path_b64"]))
    else:
        asked.append(("after", path_of_entry(last).decode()))
    return f"{request.path}?{urlencode(asked)}"
