"""Snapshots and forks on E2B's control plane. There a snapshot is a template like any other."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from gateway.api.asking.client_presence import leaving
from gateway.api.asking.json_bodies import read_json
from gateway.api.asking.request_owner import owner_of_request
from gateway.api.e2b.backend import ForkedView, SandboxService, SnapshotServices, SnapshotView
from gateway.api.e2b.control_answers import Shown, nothing, written
from gateway.api.e2b.control_lists import MOST_PER_PAGE, refused, whole
from gateway.api.e2b.control_models import Fork, TakeSnapshot
from gateway.api.e2b.control_sandboxes import IDLE_S, LEAST_LIFETIME_S, validated
from gateway.api.e2b.notes import template_of
from gateway.errors import SnapshotNotFound
from gateway.middleware import authentication, e2b_errors
from gateway.schemas.models import SandboxCreateInside, SnapshotCreate


def blueprint(snapshots: SnapshotServices, sandboxes: SandboxService, shown: Shown) -> Blueprint:
    """The routes of snapshots, and the fork of a sandbox."""
    routes = Blueprint("e2b_snapshots", __name__, url_prefix="/e2b/control")

    @routes.post("/sandboxes/<sandbox_id>/snapshots")
    def take(sandbox_id: str) -> Response:
        name = read_json(TakeSnapshot).name
        checked = validated({"name": name}, SnapshotCreate)
        taken = snapshots.taking.take(sandbox_id, name=checked.name, labels={})
        return written(_written(taken), 201)

    @routes.get("/snapshots")
    def show_all() -> Response:
        limit = whole("limit", MOST_PER_PAGE, 1, MOST_PER_PAGE)
        sandbox_id = request.args.get("sandboxID") or None
        name = request.args.get("name") or None
        try:
            found, has_more = snapshots.keeping.list(
                owner=authentication.caller().name,
                sandbox_id=sandbox_id,
                labels={},
                limit=limit if name is None else None,
                after=request.args.get("nextToken") or None,
            )
        except SnapshotNotFound:
            raise refused("nextToken", "is none that was given out") from None
        if name is not None:
            found, has_more = [one for one in found if name in (one.name, one.snapshot_id)], False
        headers = {"X-Next-Token": found[-1].snapshot_id} if has_more else {}
        return written([_written(one) for one in found], 200, headers)

    @routes.delete("/templates/<path:snapshot_id>")
    def delete(snapshot_id: str) -> Response:
        word = snapshot_id.removesuffix(":default")
        snapshots.keeping.delete(word, owner=authentication.caller().name)
        return nothing()

    @routes.post("/sandboxes/<sandbox_id>/fork")
    def fork(sandbox_id: str) -> Response:
        asked = read_json(Fork)
        source = sandboxes.get(sandbox_id)
        notes = {**source.notes, "made_by": "e2b", "template": template_of(source)}
        wanted = validated(
            {
                "env": dict(sandboxes.env_of(sandbox_id)),
                "labels": dict(source.labels),
                "timeout": max(asked.timeout, LEAST_LIFETIME_S),
                "idle_timeout": IDLE_S,
                "idle_action": "delete",
                "max_idle_timeout_counts": False,
                "notes": notes,
            },
            SandboxCreateInside,
        )
        copies = snapshots.forking.fork(
            sandbox_id, wanted, asked.count, owner=owner_of_request(), has_left=leaving()
        )
        return written([_forked(copy, shown) for copy in copies], 201)

    return routes


def _written(snapshot: SnapshotView) -> dict[str, Any]:
    names = [] if snapshot.name is None else [snapshot.name]
    return {"snapshotID": snapshot.snapshot_id, "names": names}


def _forked(copy: ForkedView, shown: Shown) -> dict[str, Any]:
    if copy.view is not None:
        return {"sandbox": shown.created(copy.view)}
    assert copy.error is not None
    status, message = e2b_errors.said_of(copy.error)
    return {"error": {"code": status, "message": message}}
