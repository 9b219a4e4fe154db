"""Routes of the noun *sandbox*."""

from __future__ import annotations

import re
from urllib.parse import urlencode

import orjson
from flask import Blueprint, Response, request, url_for

from gateway.api.asking.client_presence import leaving
from gateway.api.asking.json_bodies import read_json
from gateway.api.asking.request_owner import owner_of_request
from gateway.api.rest import answers
from gateway.api.rest.backend import ChangeService, CreationService, SandboxService, SandboxView
from gateway.api.rest.query_strings import read_query
from gateway.errors import (
    N_,
    BadFields,
    BadMediaType,
    BadRequest,
    BaseImageChanged,
    BodyTimeout,
    BodyTooLarge,
    CapacityExhausted,
    DiskFull,
    EngineFault,
    GatewayStopping,
    HostToolFailed,
    IdempotencyKeyReused,
    IdempotencyKeySpent,
    IsolationUnavailable,
    NameTaken,
    SandboxBusy,
    SandboxNotFound,
    SnapshotNotFound,
    SnapshotsMissing,
    SnapshotTooLarge,
    StoreUnavailable,
    TooManyLabels,
    TooManySandboxes,
    TooManyWaiting,
)
from gateway.middleware import authentication
from gateway.middleware.language import translate
from gateway.schemas.models import (
    Deleted,
    Sandbox,
    SandboxChange,
    SandboxCreate,
    SandboxCreated,
    SandboxQuery,
)
from gateway.schemas.route_documentation import Reply, documented

CREATED = N_("Sandbox container created successfully")
_DELETED = N_("Sandbox %(sandbox_id)s deleted successfully")

_BACKEND_FAULTS = (EngineFault, StoreUnavailable)
_BODY_FAULTS = (BodyTimeout, BodyTooLarge, BadMediaType, BadFields)

_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")
"""An `Idempotency-Key`: visible ASCII, as header fields can carry it."""


def blueprint(
    creation: CreationService, sandboxes: SandboxService, changes: ChangeService
) -> Blueprint:
    """The routes under `/sandboxes`, over the services behind them."""
    routes = Blueprint("sandboxes", __name__, url_prefix="/sandboxes")

    @routes.post("")
    @documented(
        summary="Create a sandbox",
        description="Answers when the sandbox can be used. The body may be empty. Where there is "
        "no room it waits for some, in a queue that serves all API keys alike; one that does not "
        "fit is passed by those that do, for a while.",
        tag="Sandboxes",
        body=SandboxCreate,
        headers={
            "Idempotency-Key": "Sent again with the same body, it makes no second sandbox: the "
            "answer is that of the first, and has `Idempotent-Replayed: true`. Any text of up to "
            "255 visible characters."
        },
        replies={
            201: Reply(
                SandboxCreated, "It is ready.", headers={"Location": "Address of the sandbox."}
            )
        },
        errors=(
            *_BODY_FAULTS,
            IsolationUnavailable,
            NameTaken,
            SnapshotNotFound,
            SnapshotTooLarge,
            BaseImageChanged,
            SnapshotsMissing,
            IdempotencyKeyReused,
            IdempotencyKeySpent,
            TooManySandboxes,
            TooManyLabels,
            TooManyWaiting,
            CapacityExhausted,
            GatewayStopping,
            *_BACKEND_FAULTS,
            DiskFull,
            HostToolFailed,
        ),
    )
    def create() -> Response:
        wanted = read_json(SandboxCreate)
        created = creation.create(
            wanted, owner=owner_of_request(), key=_idempotency_key(), has_left=leaving()
        )
        sandbox_id = created.view.sandbox_id
        token = authentication.new_token(sandbox_id)
        answer = SandboxCreated(
            sandbox_id=sandbox_id,
            status="created",
            message=translate(CREATED),
            access_token=None if token is None else token.text,
        )
        response = answers.one(answer, 201, without_none=True)
        response.headers["Location"] = url_for("sandboxes.show", sandbox_id=sandbox_id)
        if created.is_replay:
            response.headers["Idempotent-Replayed"] = "true"
        return response

    @routes.get("")
    @documented(
        summary="List the sandboxes",
        description="With `limit`, and where there are more, the answer's `Link` (RFC 8288) leads "
        "to the next ones.",
        tag="Sandboxes",
        query=SandboxQuery,
        replies={200: Reply(list[Sandbox], "Those that fit, oldest first, as a bare array.")},
        errors=(BadFields, *_BACKEND_FAULTS),
    )
    def show_all() -> Response:
        query = read_query(SandboxQuery)
        found, has_more = sandboxes.list(
            status=query.status,
            labels=query.labels,
            limit=query.limit,
            after=_after(query),
            owner=authentication.caller().name or None,
        )
        response = answers.array(map(_written, found))
        if has_more:
            response.headers["Link"] = f'<{_next_page(found[-1].sandbox_id)}>; rel="next"'
        return response

    @routes.get("/<sandbox_id>")
    @documented(
        summary="Show a sandbox",
        tag="Sandboxes",
        replies={200: Reply(Sandbox, "The sandbox as it is now.")},
        errors=(SandboxNotFound, *_BACKEND_FAULTS),
    )
    def show(sandbox_id: str) -> Response:
        return answers.one(shown(sandboxes.get(sandbox_id)))

    @routes.patch("/<sandbox_id>")
    @documented(
        summary="Change deadlines and labels",
        description="What the body does not name stays as it is.",
        tag="Sandboxes",
        body=SandboxChange,
        replies={200: Reply(Sandbox, "The sandbox as it is now.")},
        errors=(*_BODY_FAULTS, SandboxNotFound, TooManyLabels, *_BACKEND_FAULTS),
    )
    def change(sandbox_id: str) -> Response:
        return answers.one(shown(changes.change(sandbox_id, read_json(SandboxChange))))

    @routes.post("/<sandbox_id>/pause")
    @documented(
        summary="Pause a sandbox",
        description="All its processes stop where they are, and keep their memory. Connecting or "
        "running a command resumes it. Pausing a paused one changes nothing.",
        tag="Sandboxes",
        replies={200: Reply(Sandbox, "It is paused.")},
        errors=(SandboxNotFound, SandboxBusy, *_BACKEND_FAULTS),
    )
    def pause(sandbox_id: str) -> Response:
        return answers.one(shown(changes.pause(sandbox_id)))

    @routes.post("/<sandbox_id>/resume")
    @documented(
        summary="Resume a sandbox",
        description="Its processes go on. Resuming one that is not paused changes nothing.",
        tag="Sandboxes",
        replies={200: Reply(Sandbox, "It runs.")},
        errors=(SandboxNotFound, SandboxBusy, *_BACKEND_FAULTS),
    )
    def resume(sandbox_id: str) -> Response:
        return answers.one(shown(changes.resume(sandbox_id)))

    @routes.delete("/<sandbox_id>")
    @documented(
        summary="Delete a sandbox",
        description="Ends everything that runs in it. Its WebSockets are closed with 1001. "
        "After 503 `engine_timeout` the removal goes on by itself; after any other 503 the sandbox "
        "is still there.",
        tag="Sandboxes",
        replies={200: Reply(Deleted, "It is gone.")},
        errors=(SandboxNotFound, *_BACKEND_FAULTS),
    )
    def delete(sandbox_id: str) -> Response:
        changes.delete(sandbox_id)
        return answers.one(Deleted(message=translate(_DELETED, sandbox_id=sandbox_id)))

    return routes


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is not None and not _KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key must be 1 to 255 visible ASCII characters")
    return key


def _after(query: SandboxQuery) -> str | None:
    """The id of the last sandbox that the client has. What can be none is refused by the list."""
    try:
        return None if query.after is None else authentication.meant(query.after)
    except SandboxNotFound:
        return query.after


def _next_page(last: str) -> str:
    """The address of the same list, from behind its last sandbox on (RFC 8288)."""
    kept = [(name, value) for name, value in request.args.items(multi=True) if name != "after"]
    return f"{url_for('sandboxes.show_all')}?{urlencode([*kept, ('after', last)])}"


def shown(sandbox: SandboxView) -> Sandbox:
    return Sandbox.model_validate(
        {name: getattr(sandbox, name) for name in Sandbox.model_fields}, strict=False
    )


def _written(sandbox: SandboxView) -> bytes:
    """As `gateway.schemas.models.Sandbox`, but written directly: a list may have thousands."""
    return orjson.dumps({name: getattr(sandbox, name) for name in Sandbox.model_fields})
