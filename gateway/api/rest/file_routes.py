"""Routes of files: read, write, look, list, and change what is where."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from flask import Blueprint, Response, request

from gateway.api.bodies import file_content, uploads
from gateway.api.bodies.multipart_bodies import file_parts
from gateway.api.rest import answers, file_answers
from gateway.api.rest.query_strings import read_query
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import (
    AlreadyExists,
    BadFields,
    BadMediaType,
    BadPath,
    BadRange,
    BodyTimeout,
    BodyTooLarge,
    Changed,
    EngineFault,
    FeatureMissing,
    FileFault,
    GatewayFull,
    GatewayStopping,
    IsDirectory,
    NoSpace,
    NotAFile,
    NotDirectory,
    NotEmpty,
    PathNotFound,
    PermissionDenied,
    SandboxFault,
    SandboxNotFound,
    StoreUnavailable,
    TooLarge,
    TooMuchQueued,
    TooMuchUnread,
    UserUnavailable,
)
from gateway.files import several
from gateway.files.service import INLINE_BYTES, Files
from gateway.schemas.models import (
    DeleteQuery,
    FileStat,
    PathQuery,
    User,
    WriteQuery,
)
from gateway.schemas.paths_in_requests import path_of
from gateway.schemas.route_documentation import Reply, documented
from gateway.use.place import Place
from gateway.use.sandbox_use import SandboxUses

Value = TypeVar("Value")

NDJSON = "application/x-ndjson"
JSON = "application/json"

FAULTS = (
    *(BadFields, BadPath, PathNotFound, PermissionDenied, NotDirectory, FeatureMissing),
    UserUnavailable,
    *(FileFault, SandboxNotFound, SandboxFault, EngineFault, StoreUnavailable, GatewayStopping),
)
WRITE_FAULTS = (IsDirectory, NotAFile, AlreadyExists, NoSpace, TooLarge)
UPLOAD_FAULTS = (BodyTimeout, BadMediaType, TooMuchQueued, GatewayFull)
BODY_FAULTS = (BodyTimeout, BodyTooLarge, BadMediaType)

CONDITIONS = {
    "If-Match": "ETags, one of which the file must have; `*`: it must be there.",
    "If-None-Match": "`*`: it must not be there; or ETags that it must not have.",
}


def blueprint(files: Files, uses: SandboxUses, waiting: Waiting) -> Blueprint:
    """The routes below `/sandboxes/{sandbox_id}/files`."""
    routes = Blueprint("files", __name__, url_prefix="/sandboxes/<sandbox_id>/files")

    def done(sandbox_id: str, user: User, work: Callable[[Place], Value]) -> Value:
        with uses.of(sandbox_id) as use:
            place = files.place(use.place, user)
            return waiting.until(lambda: work(place))

    @routes.get("")
    @documented(
        summary="Read a file",
        description="Its bytes, streamed. Links are followed. A file that does not say how long "
        "it is, as those of `/proc`, is sent to its end. Of several ranges the whole is sent.",
        tag="Files",
        query=PathQuery,
        headers={
            "Range": "One part, `bytes=0-99`, `bytes=100-` or `bytes=-100`.",
            "If-Range": "The ETag that the part belongs to; with another the whole is sent.",
            "If-None-Match": "ETags that the client has: 304.",
            "If-Modified-Since": "Likewise, by time.",
            "If-Match": "ETags, one of which the file must have.",
        },
        replies={
            200: Reply(
                description="The whole file.",
                media_type=file_content.BYTES,
                headers={
                    "ETag": "Changes with the file.",
                    "Last-Modified": "When it was written.",
                    "Content-Disposition": "`attachment`, with the file's name.",
                    "Accept-Ranges": "`bytes`.",
                },
            ),
            206: Reply(
                description="The part.",
                media_type=file_content.BYTES,
                headers={"Content-Range": "Where it stands."},
            ),
            304: Reply(description="The client has it.", media_type=None),
        },
        errors=(
            *(IsDirectory, NotAFile, Changed, BadRange, TooMuchUnread, GatewayFull),
            *FAULTS,
        ),
    )
    def read(sandbox_id: str) -> Response:
        query = read_query(PathQuery)
        path, wanted = path_in(query), file_content.wanted()
        with ExitStack() as held:
            place = files.place(held.enter_context(uses.of(sandbox_id)).place, query.user)
            try:
                reading = waiting.until(lambda: held.enter_context(files.read(place, path, wanted)))
            except BadRange as error:
                file_content.say_size_of(error)
                raise
            return file_content.content(reading, held)

    @routes.put("")
    @documented(
        summary="Write a file",
        description="The body is the content, of any size. Whoever reads the file meanwhile sees "
        "the old one or the new one, and an upload that breaks off leaves the old one. Missing "
        "directories are made; links are followed. What is replaced keeps owner and mode.",
        tag="Files",
        query=WriteQuery,
        headers=CONDITIONS,
        upload=file_content.BYTES,
        replies={
            200: Reply(FileStat, "It was replaced."),
            201: Reply(FileStat, "It is new."),
        },
        errors=(Changed, *WRITE_FAULTS, *UPLOAD_FAULTS, *FAULTS),
    )
    def write(sandbox_id: str) -> Response:
        query = read_query(WriteQuery)
        path, conditions = path_in(query), file_content.conditions()
        with uses.of(sandbox_id) as use:
            place = files.place(use.place, query.user)
            content = uploads.whole_if_small(INLINE_BYTES)
            found, is_new = files.write(
                place, path, content, mode=query.permissions, conditions=conditions
            )
        return file_answers.entry(found, 201 if is_new else 200)

    @routes.post("")
    @documented(
        summary="Write several files",
        description="`multipart/form-data`: the file name of each part is its path, from `path` "
        "on; missing directories are made. Each file is written as by `PUT`, one after the other: "
        "those before one that is refused are there.",
        tag="Files",
        query=PathQuery,
        upload="multipart/form-data",
        replies={201: Reply(list[FileStat], "What is there now, in the order of the body.")},
        errors=(*WRITE_FAULTS, *UPLOAD_FAULTS, *FAULTS),
    )
    def write_several(sandbox_id: str) -> Response:
        query = read_query(PathQuery)
        directory = path_in(query)
        with uses.of(sandbox_id) as use:
            place = files.place(use.place, query.user)
            parts = file_parts(INLINE_BYTES)
            found = several.write_several(files, place, directory, parts)
        return file_answers.entries(found, 201)

    @routes.delete("")
    @documented(
        summary="Delete a file or a directory",
        description="Links are not followed. A directory that is not empty needs `recursive`.",
        tag="Files",
        query=DeleteQuery,
        replies={204: Reply(description="It is gone.", media_type=None)},
        errors=(NotEmpty, *FAULTS),
    )
    def delete(sandbox_id: str) -> Response:
        query = read_query(DeleteQuery)
        path = path_in(query)
        done(
            sandbox_id,
            query.user,
            lambda place: files.delete(place, path, recursive=query.recursive),
        )
        return answers.nothing()

    return routes


def path_in(query: PathQuery) -> bytes:
    return path_of(query.path, query.path_b64, request.query_string)
