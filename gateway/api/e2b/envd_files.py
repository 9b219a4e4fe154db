"""E2B's `/files`: the content of files, both ways."""

from __future__ import annotations

from contextlib import ExitStack

import orjson
from flask import Blueprint, Response, request

from gateway.api.bodies import file_content, gzip_coding
from gateway.api.bodies.streamed_answers import paced
from gateway.api.e2b import content_coding, uploaded_files
from gateway.api.e2b.connect_rpc import ConnectRpc
from gateway.api.e2b.file_metadata import metadata_of_request
from gateway.api.e2b.file_users import place_as, user_in_query
from gateway.api.e2b.paths_in_messages import path_of
from gateway.api.e2b.signed_addresses import SignedAddresses
from gateway.errors import BadRange, NotDirectory, PathNotFound
from gateway.files.entries import Entry
from gateway.files.reading import Reading
from gateway.files.service import Files, Wanted
from gateway.use.sandbox_use import SandboxUses

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, POST, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Expose-Headers": "*",
    "Access-Control-Max-Age": "7200",
}
"""Pages of any site may use an address that carries its own permission; cookies are never asked
for."""


def blueprint(
    rpc: ConnectRpc,
    files: Files,
    uses: SandboxUses,
    signed: SignedAddresses,
    most_unpacked_bytes: int,
) -> Blueprint:
    """The routes of a sandbox that is named, and of one that a signature names."""
    routes = Blueprint("e2b_files", __name__)

    @routes.get("/e2b/envd/<sandbox_id>/files", provide_automatic_options=False)
    def read(sandbox_id: str) -> Response:
        user = user_in_query()
        path = request.args.get("path", "")
        coding = content_coding.chosen(request.accept_encodings)
        wanted = file_content.wanted() if coding == "identity" else Wanted()
        with ExitStack() as held:
            place = place_as(files, held.enter_context(uses.of(sandbox_id)).place, user)
            try:
                reading = rpc.until(
                    lambda: held.enter_context(files.read(place, path_of(path), wanted))
                )
            except BadRange as error:
                file_content.say_size_of(error)
                raise
            except (PathNotFound, NotDirectory):
                raise PathNotFound(f"path '{path}' does not exist") from None
            if coding == "gzip":
                return _as_gzip(reading, held)
            return file_content.content(reading, held)

    @routes.post("/e2b/envd/<sandbox_id>/files", provide_automatic_options=False)
    def write(sandbox_id: str) -> Response:
        user = user_in_query()
        metadata = metadata_of_request()
        with uses.of(sandbox_id) as use:
            found = uploaded_files.write(
                files, place_as(files, use.place, user), request.args, metadata, most_unpacked_bytes
            )
        told = [_uploaded(one) for one in found]
        return Response(orjson.dumps(told), content_type="application/json")

    @routes.get("/e2b/signed/files", provide_automatic_options=False)
    def read_signed() -> Response:
        return _shared(read(signed.sandbox_of("read")))

    @routes.post("/e2b/signed/files", provide_automatic_options=False)
    def write_signed() -> Response:
        return _shared(write(signed.sandbox_of("write")))

    @routes.route("/e2b/signed/files", methods=["OPTIONS"])
    @routes.route("/e2b/envd/<sandbox_id>/files", methods=["OPTIONS"])
    def preflight(**_named: str) -> Response:
        response = Response(status=204)
        response.headers.pop("Content-Type", None)
        return _shared(response)

    return routes


def _shared(response: Response) -> Response:
    response.headers.update(CORS)
    return response


def _as_gzip(reading: Reading, held: ExitStack) -> Response:
    pieces = file_content.or_broken_off(reading.pieces())
    response = Response(paced(gzip_coding.packed(pieces)), content_type=file_content.BYTES)
    response.call_on_close(held.pop_all().close)
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    response.headers.update(file_content.CONTENT_HEADERS)
    return response


def _uploaded(entry: Entry) -> dict[str, object]:
    told: dict[str, object] = {"path": entry["path"], "name": entry["name"], "type": "file"}
    if entry["details"].metadata:
        told["metadata"] = dict(entry["details"].metadata)
    return told
