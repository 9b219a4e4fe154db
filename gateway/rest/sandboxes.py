"""Routes of the noun *sandbox*."""

from __future__ import annotations

import re
from typing import Any

from flask import Blueprint, Response, url_for

from gateway import guard
from gateway.apidoc import Reply, documented
from gateway.errors import (
    N_,
    BadFields,
    BadMediaType,
    BodyTimeout,
    BodyTooLarge,
    EngineFault,
    SandboxNotFound,
    StoreUnavailable,
)
from gateway.messages import translate
from gateway.models import SANDBOX_ID_PATTERN, Deleted, Sandbox, SandboxCreate, SandboxCreated
from gateway.rest import answers
from gateway.rest.backend import SandboxService, SandboxView
from gateway.rest.bodies import read_json

_CREATED = N_("Sandbox container created successfully")
_DELETED = N_("Sandbox %(sandbox_id)s deleted successfully")

_BACKEND_FAULTS = (EngineFault, StoreUnavailable)

_SANDBOX_ID = re.compile(SANDBOX_ID_PATTERN)
_LONGEST_ECHO = 64


def blueprint(sandboxes: SandboxService) -> Blueprint:
    """The routes under `/sandboxes`, over `sandboxes`."""
    routes = Blueprint("sandboxes", __name__, url_prefix="/sandboxes")
    routes.url_value_preprocessor(refuse_impossible_id)

    @routes.post("")
    @documented(
        summary="Create a sandbox",
        description="Answers when the sandbox can be used. The body may be empty.",
        tag="Sandboxes",
        body=SandboxCreate,
        replies={
            201: Reply(
                SandboxCreated, "It is ready.", headers={"Location": "Address of the sandbox."}
            )
        },
        errors=(BodyTimeout, BodyTooLarge, BadMediaType, BadFields, *_BACKEND_FAULTS),
    )
    def create() -> Response:
        read_json(SandboxCreate)
        sandbox_id = sandboxes.create().sandbox_id
        guard.note_owner(sandbox_id)
        token = guard.new_token(sandbox_id)
        created = SandboxCreated(
            sandbox_id=sandbox_id,
            status="created",
            message=translate(_CREATED),
            access_token=None if token is None else token.text,
        )
        response = answers.one(created, 201, without_none=True)
        response.headers["Location"] = url_for("sandboxes.show", sandbox_id=sandbox_id)
        return response

    @routes.get("")
    @documented(
        summary="List the sandboxes",
        tag="Sandboxes",
        replies={200: Reply(list[Sandbox], "All sandboxes of the caller, as a bare array.")},
        errors=_BACKEND_FAULTS,
    )
    def show_all() -> Response:
        found = sandboxes.list()
        own = guard.own([sandbox.sandbox_id for sandbox in found])
        return answers.many([_shown(sandbox) for sandbox in found if sandbox.sandbox_id in own])

    @routes.get("/<sandbox_id>")
    @documented(
        summary="Show a sandbox",
        tag="Sandboxes",
        replies={200: Reply(Sandbox, "The sandbox as it is now.")},
        errors=(SandboxNotFound, *_BACKEND_FAULTS),
    )
    def show(sandbox_id: str) -> Response:
        return answers.one(_shown(sandboxes.get(sandbox_id)))

    @routes.delete("/<sandbox_id>")
    @documented(
        summary="Delete a sandbox",
        description="Ends everything that runs in it. Its WebSockets are closed with 1001.",
        tag="Sandboxes",
        replies={200: Reply(Deleted, "It is gone.")},
        errors=(SandboxNotFound, *_BACKEND_FAULTS),
    )
    def delete(sandbox_id: str) -> Response:
        sandboxes.delete(sandbox_id)
        return answers.one(Deleted(message=translate(_DELETED, sandbox_id=sandbox_id)))

    return routes


def refuse_impossible_id(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Nothing behind the edge sees an id that cannot be one.

    The engine's SDK puts ids into addresses unescaped: `../networks/bridge` would reach another
    object of its API.
    """
    sandbox_id = (values or {}).get("sandbox_id")
    if sandbox_id is not None and not _SANDBOX_ID.fullmatch(sandbox_id):
        raise SandboxNotFound(sandbox_id[:_LONGEST_ECHO])


def _shown(sandbox: SandboxView) -> Sandbox:
    return Sandbox(
        sandbox_id=sandbox.sandbox_id,
        status=sandbox.status,
        created_at=sandbox.created_at,
        ip_address=sandbox.ip_address,
    )
