"""Sandboxes on E2B's control plane: made, connected to, shown, changed and ended."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from flask import Blueprint, Response, request
from pydantic import BaseModel, ValidationError

from gateway.api.asking.client_presence import leaving
from gateway.api.asking.json_bodies import read_json
from gateway.api.asking.request_owner import owner_of_request
from gateway.api.e2b.backend import (
    ChangeService,
    CreationService,
    RestartService,
    SandboxService,
)
from gateway.api.e2b.control_answers import Shown, nothing, written
from gateway.api.e2b.control_models import Connect, Create, Pause, Refresh, Timeout
from gateway.api.e2b.missing import is_offline, refuse_what_is_missing
from gateway.api.e2b.notes import noted, split_metadata
from gateway.api.e2b.template_words import TemplateWords
from gateway.errors import BadFields, BadRequest, SandboxBusy, SandboxNotFound
from gateway.schemas.models import SandboxCreateInside
from gateway.schemas.models.base import MOST_ERRORS

IDLE_S = 366 * 86400.0
"""A sandbox of these clients ends when its time is over, however idle it is until then."""

LEAST_LIFETIME_S = 1.0

Native = TypeVar("Native", bound=BaseModel)

_KEY = re.compile(r"[a-zA-Z0-9._-]{1,255}")


def blueprint(
    creation: CreationService,
    sandboxes: SandboxService,
    changes: ChangeService,
    restarting: RestartService,
    words: TemplateWords,
    shown: Shown,
    *,
    with_root: bool,
) -> Blueprint:
    """The routes below `/sandboxes`; `with_root` makes sandboxes in which there is root."""
    routes = Blueprint("e2b_sandboxes", __name__, url_prefix="/e2b/control")

    @routes.post("/sandboxes")
    @routes.post("/v2/sandboxes")
    def create() -> Response:
        asked = read_json(Create)
        refuse_what_is_missing(asked)
        owner = owner_of_request()
        wanted = _wanted(asked, words, owner.name, with_root=with_root)
        made = creation.create(wanted, owner=owner, key=_idempotency_key(), has_left=leaving())
        headers = {"Location": f"/sandboxes/{made.view.sandbox_id}"}
        return written(shown.created(made.view), 201, headers)

    @routes.post("/sandboxes/<sandbox_id>/connect")
    @routes.post("/v2/sandboxes/<sandbox_id>/connect")
    @routes.post("/sandboxes/<sandbox_id>/resume")
    def connect(sandbox_id: str) -> Response:
        asked = read_json(Connect)
        view = sandboxes.get(sandbox_id)
        was_paused = view.status == "paused"
        if asked.timeout is not None and (was_paused or view.ends_at is not None):
            after_s = max(asked.timeout, LEAST_LIFETIME_S)
            changes.end_in(sandbox_id, after_s, only_later=True)
        if was_paused:
            view = changes.resume(sandbox_id)
            if asked.memory is False or not view.notes.get("keeps_memory", True):
                view = restarting.restart(sandbox_id)
        return written(shown.created(view), 201 if was_paused else 200)

    @routes.get("/sandboxes/<sandbox_id>")
    def show(sandbox_id: str) -> Response:
        return written(shown.detail(sandboxes.get(sandbox_id)))

    @routes.delete("/sandboxes/<sandbox_id>")
    def kill(sandbox_id: str) -> Response:
        changes.delete(sandbox_id)
        return nothing()

    @routes.post("/sandboxes/<sandbox_id>/timeout")
    def set_timeout(sandbox_id: str) -> Response:
        asked = read_json(Timeout)
        if sandboxes.paused_among({sandbox_id}):
            raise SandboxNotFound(sandbox_id, "it is paused, and has no end")
        changes.end_in(sandbox_id, asked.timeout)
        return nothing()

    @routes.post("/sandboxes/<sandbox_id>/refreshes")
    def refresh(sandbox_id: str) -> Response:
        asked = read_json(Refresh)
        if sandboxes.get(sandbox_id).status != "paused":
            changes.end_in(sandbox_id, max(asked.duration, LEAST_LIFETIME_S), only_later=True)
        return nothing()

    @routes.post("/sandboxes/<sandbox_id>/pause")
    def pause(sandbox_id: str) -> Response:
        asked = read_json(Pause)
        if sandboxes.get(sandbox_id).status == "paused":
            raise SandboxBusy(f"sandbox {sandbox_id} is paused already")
        if asked.memory is False:
            restarting.restart(sandbox_id)  # what has ended now is not there when it is resumed
        changes.pause(sandbox_id, ends=False)
        return nothing()

    return routes


def _wanted(
    asked: Create, words: TemplateWords, owner: str, *, with_root: bool
) -> SandboxCreateInside:
    """The create, in native words. Raises BadFields, TemplateNotFound and StoreUnavailable."""
    meaning = words.meaning(asked.template_id, owner)
    labels, others = split_metadata(asked.metadata)
    network = asked.network
    has_no_network = asked.allow_internet_access is False or (
        network is not None and is_offline(network)
    )
    has_traffic = network is None or network.allow_public_traffic is not False
    said: dict[str, Any] = {
        "image": meaning.image,
        "snapshot": meaning.snapshot,
        "env": asked.env_vars or {},
        "labels": labels,
        "timeout": max(asked.timeout, LEAST_LIFETIME_S),
        "timeout_action": "pause" if asked.auto_pause else "delete",
        "idle_timeout": IDLE_S,
        "max_idle_timeout_counts": False,
        "root": with_root,
        "notes": noted(
            asked.template_id,
            auto_resume=asked.auto_resume is not None and asked.auto_resume.enabled,
            keeps_memory=asked.auto_pause_memory is not False,
            is_public=has_traffic,
            masked_host=None if network is None else network.mask_request_host,
            metadata=others,
        ),
    }
    if has_no_network:
        said["network"] = "none"
    return validated(said, SandboxCreateInside)


def validated(said: dict[str, Any], model: type[Native]) -> Native:
    """What is said, as the native API would read it. Raises BadFields, in that one's words."""
    try:
        return model.model_validate(said, strict=True)
    except ValidationError as refusal:
        found = refusal.errors(include_url=False, include_context=False, include_input=False)
        errors = [
            {
                "loc": [str(part)[:100] for part in one["loc"]],
                "msg": one["msg"],
                "type": one["type"],
            }
            for one in found[:MOST_ERRORS]
        ]
        raise BadFields(f"{len(errors)} of the values are refused", errors=errors) from None


def _idempotency_key() -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not _KEY.fullmatch(key):
        raise BadRequest("Idempotency-Key must be 1 to 255 of a-z, 0-9 and -")
    return f"e2b {key}"  # of another protocol, and so never the native key of the same text
