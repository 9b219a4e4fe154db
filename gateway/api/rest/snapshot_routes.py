"""Routes of the noun *snapshot*, and what is made of them: forks, restores."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import Blueprint, Response, request, url_for

from gateway.api.asking.client_presence import leaving
from gateway.api.asking.json_bodies import read_json
from gateway.api.asking.request_owner import owner_of_request
from gateway.api.rest import answers
from gateway.api.rest.backend import ForkedView, SnapshotServices, SnapshotView
from gateway.api.rest.query_strings import read_query
from gateway.api.rest.sandbox_routes import CREATED, shown
from gateway.errors import (
    BadFields,
    BadMediaType,
    BaseImageChanged,
    BodyTimeout,
    BodyTooLarge,
    DiskFull,
    EngineFault,
    HostToolFailed,
    SandboxBusy,
    SandboxNotFound,
    SnapshotNameTaken,
    SnapshotNotFound,
    SnapshotsMissing,
    SnapshotTooLarge,
    SnapshotUnrelated,
    StoreUnavailable,
    TooManySnapshots,
)
from gateway.middleware import authentication, problem_documents
from gateway.middleware.language import translate
from gateway.schemas.models import (
    Changes,
    ChangesQuery,
    Forked,
    ForkRequest,
    RestoreRequest,
    Sandbox,
    Snapshot,
    SnapshotCreate,
    SnapshotQuery,
)
from gateway.schemas.route_documentation import Reply, documented

_BODY_FAULTS = (BodyTimeout, BodyTooLarge, BadMediaType, BadFields)
_HOST_FAULTS = (EngineFault, StoreUnavailable, DiskFull, HostToolFailed)
_OF_TAKING = (
    SandboxNotFound,
    SandboxBusy,
    SnapshotsMissing,
    SnapshotTooLarge,
    TooManySnapshots,
)


def blueprint(snapshots: SnapshotServices) -> Blueprint:
    """The routes under `/snapshots`, and those of a sandbox that have to do with them."""
    routes = Blueprint("snapshots", __name__)

    @routes.post("/sandboxes/<sandbox_id>/snapshots")
    @documented(
        summary="Take a snapshot",
        description="Of all files of the sandbox, at one moment: as after a power cut with "
        "everything flushed. Running commands go on; for some milliseconds they stand still. A "
        "paused sandbox stays paused. Processes are not kept.",
        tag="Snapshots",
        body=SnapshotCreate,
        replies={
            201: Reply(Snapshot, "It is there.", headers={"Location": "Address of the snapshot."})
        },
        errors=(*_BODY_FAULTS, *_OF_TAKING, SnapshotNameTaken, *_HOST_FAULTS),
    )
    def take(sandbox_id: str) -> Response:
        wanted = read_json(SnapshotCreate)
        taken = snapshots.taking.take(sandbox_id, name=wanted.name, labels=wanted.labels)
        response = answers.one(_written(taken), 201)
        response.headers["Location"] = url_for("snapshots.show", snapshot_id=taken.snapshot_id)
        return response

    @routes.get("/snapshots")
    @documented(
        summary="List the snapshots",
        description="With `limit`, and where there are more, the answer's `Link` (RFC 8288) leads "
        "to the next ones.",
        tag="Snapshots",
        query=SnapshotQuery,
        replies={200: Reply(list[Snapshot], "Those that fit, oldest first, as a bare array.")},
        errors=(BadFields, SandboxNotFound, SnapshotNotFound, StoreUnavailable),
    )
    def show_all() -> Response:
        query = read_query(SnapshotQuery)
        sandbox_id = None if query.sandbox_id is None else authentication.meant(query.sandbox_id)
        found, has_more = snapshots.keeping.list(
            owner=authentication.caller().name,
            sandbox_id=sandbox_id,
            labels=query.labels,
            limit=query.limit,
            after=query.after,
        )
        response = answers.many([_written(one) for one in found])
        if has_more:
            response.headers["Link"] = f'<{_next_page(found[-1].snapshot_id)}>; rel="next"'
        return response

    @routes.get("/snapshots/<snapshot_id>")
    @documented(
        summary="Show a snapshot",
        tag="Snapshots",
        replies={200: Reply(Snapshot)},
        errors=(SnapshotNotFound, StoreUnavailable),
    )
    def show(snapshot_id: str) -> Response:
        owner = authentication.caller().name
        return answers.one(_written(snapshots.keeping.get(snapshot_id, owner=owner)))

    @routes.delete("/snapshots/<snapshot_id>")
    @documented(
        summary="Delete a snapshot",
        description="Sandboxes that were made from it stay as they are.",
        tag="Snapshots",
        replies={204: Reply(description="It is gone.", media_type=None)},
        errors=(SnapshotNotFound, StoreUnavailable),
    )
    def delete(snapshot_id: str) -> Response:
        snapshots.keeping.delete(snapshot_id, owner=authentication.caller().name)
        return answers.nothing()

    @routes.post("/sandboxes/<sandbox_id>/fork")
    @documented(
        summary="Fork a sandbox",
        description="New sandboxes with the files of this one, all of one moment. Each counts, and "
        "waits for room, as one that is created. Processes are not copied.",
        tag="Snapshots",
        body=ForkRequest,
        replies={
            201: Reply(
                list[Forked],
                "As many entries as copies were asked for, each as a create answers or with the "
                "`error` that it would have been answered with.",
            )
        },
        errors=(*_BODY_FAULTS, *_OF_TAKING, *_HOST_FAULTS),
    )
    def fork(sandbox_id: str) -> Response:
        wanted = read_json(ForkRequest)
        copies = snapshots.forking.fork(
            sandbox_id,
            wanted.create(),
            wanted.count,
            owner=owner_of_request(),
            has_left=leaving(),
        )
        written = [_forked(copy).model_dump_json(exclude_none=True) for copy in copies]
        return Response(f"[{','.join(written)}]", 201, content_type="application/json")

    @routes.post("/sandboxes/<sandbox_id>/restore")
    @documented(
        summary="Bring a sandbox back to a snapshot",
        description="The same sandbox, with the snapshot's files in the place of its own. Its "
        "processes and sessions end; clients on WebSockets are told by `restored`, and their "
        "connections stay. It runs afterwards, also when it was paused.",
        tag="Snapshots",
        body=RestoreRequest,
        replies={200: Reply(Sandbox, "The sandbox as it is now.")},
        errors=(
            *_BODY_FAULTS,
            SandboxNotFound,
            SandboxBusy,
            SnapshotNotFound,
            SnapshotTooLarge,
            BaseImageChanged,
            SnapshotsMissing,
            *_HOST_FAULTS,
        ),
    )
    def restore(sandbox_id: str) -> Response:
        wanted = read_json(RestoreRequest)
        restored = snapshots.restoring.restore(
            sandbox_id, wanted.snapshot, of_sandbox=authentication.caller().sandbox_id
        )
        return answers.one(shown(restored))

    @routes.get("/sandboxes/<sandbox_id>/changes")
    @documented(
        summary="Show what a sandbox has changed",
        description="What its file system has gained and lost since a snapshot or, without "
        "`since`, against its image. A paused sandbox stays paused.",
        tag="Snapshots",
        query=ChangesQuery,
        replies={200: Reply(Changes)},
        errors=(
            BadFields,
            SandboxNotFound,
            SandboxBusy,
            SnapshotNotFound,
            SnapshotUnrelated,
            SnapshotsMissing,
            EngineFault,
            StoreUnavailable,
            HostToolFailed,
        ),
    )
    def changes(sandbox_id: str) -> Response:
        since = read_query(ChangesQuery).since
        of_sandbox = authentication.caller().sandbox_id
        found = snapshots.comparing.changes(sandbox_id, since, of_sandbox=of_sandbox)
        return answers.one(found, without_none=True)

    return routes


def _written(snapshot: SnapshotView) -> Snapshot:
    values = {name: getattr(snapshot, name) for name in Snapshot.model_fields}
    return Snapshot.model_validate(values, strict=False)


def _forked(copy: ForkedView) -> Forked:
    if copy.view is None:
        assert copy.error is not None
        return Forked(error=problem_documents.problem_of(copy.error))
    token = authentication.new_token(copy.view.sandbox_id)
    return Forked(
        sandbox_id=copy.view.sandbox_id,
        status="created",
        message=translate(CREATED),
        access_token=None if token is None else token.text,
    )


def _next_page(last: str) -> str:
    """The address of the same list, from behind its last snapshot on (RFC 8288)."""
    kept = [(name, value) for name, value in request.args.items(multi=True) if name != "after"]
    return f"{url_for('snapshots.show_all')}?{urlencode([*kept, ('after', last)])}"
