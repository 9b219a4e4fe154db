"""A directory as a tar archive, both ways."""

from __future__ import annotations

from contextlib import ExitStack

from flask import Blueprint, Response

from gateway.api.bodies import file_content, uploads
from gateway.api.bodies.streamed_answers import streamed
from gateway.api.rest import file_answers
from gateway.api.rest.accepted_types import prefers
from gateway.api.rest.file_routes import FAULTS, UPLOAD_FAULTS, WRITE_FAULTS, path_in
from gateway.api.rest.query_strings import read_query
from gateway.api.rest.stoppable_waits import Waiting
from gateway.errors import BadArchive, GatewayFull, TooMuchUnread
from gateway.files.service import Files
from gateway.schemas.models import FileStat, PathQuery
from gateway.schemas.route_documentation import Reply, documented
from gateway.use.sandbox_use import SandboxUses

TAR = "application/x-tar"
GZIP = "application/gzip"


def blueprint(files: Files, uses: SandboxUses, waiting: Waiting) -> Blueprint:
    """The routes of `/sandboxes/{sandbox_id}/archive`."""
    routes = Blueprint("archives", __name__, url_prefix="/sandboxes/<sandbox_id>/archive")

    @routes.get("")
    @documented(
        summary="A directory as an archive",
        description="All that is in it, as tar; with `Accept: application/gzip` as tar.gz. Links "
        "are packed as links; sockets, FIFOs and devices are left out.",
        tag="Files",
        query=PathQuery,
        replies={200: Reply(description="The archive.", media_type=TAR)},
        errors=(TooMuchUnread, GatewayFull, *FAULTS),
    )
    def pack(sandbox_id: str) -> Response:
        query = read_query(PathQuery)
        path = path_in(query)
        gzip = prefers(GZIP, instead_of=TAR)
        with ExitStack() as held:
            place = files.place(held.enter_context(uses.of(sandbox_id)).place, query.user)
            pieces = waiting.until(lambda: held.enter_context(files.pack(place, path, gzip=gzip)))
            kind = GZIP if gzip else TAR
            response = streamed(file_content.or_broken_off(pieces), held, kind)
            name = path.rstrip(b"/").rpartition(b"/")[2].decode("utf-8", "replace") or "root"
            response.headers["Content-Disposition"] = file_content.attachment(
                name + (".tar.gz" if gzip else ".tar")
            )
            response.headers.update(file_content.CONTENT_HEADERS)
            return response

    @routes.put("")
    @documented(
        summary="Unpack an archive into a directory",
        description="tar or tar.gz, told by its first bytes. The directory is made where it is "
        "missing, and merged with what is there. Nothing is unpacked of an archive that breaks "
        "off, or that has a member which is absolute, leaves the directory, is a device or a FIFO, "
        "or goes through a link that the archive made. Owner is `user`.",
        tag="Files",
        query=PathQuery,
        upload=TAR,
        replies={
            200: Reply(FileStat, "The directory, which was there."),
            201: Reply(FileStat, "The directory, which is new."),
        },
        errors=(BadArchive, *WRITE_FAULTS, *UPLOAD_FAULTS, *FAULTS),
    )
    def unpack(sandbox_id: str) -> Response:
        query = read_query(PathQuery)
        path = path_in(query)
        with uses.of(sandbox_id) as use:
            place = files.place(use.place, query.user)
            found, is_new = files.unpack(place, path, uploads.pieces())
        return file_answers.entry(found, 201 if is_new else 200)

    return routes
