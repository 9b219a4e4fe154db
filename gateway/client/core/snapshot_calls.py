"""Calls about snapshots, forks and restores, and about servers in sandboxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api_error import ApiError
from ..error_codes import SnapshotNotFound
from ..models.ports import ListeningPort, PortAddress
from ..models.sandboxes import CreatedSandbox, SandboxInfo
from ..models.snapshots import Snapshot
from .retrying import Retrying, error_from
from .sandbox_calls import CREATE_SILENCE_S, pages
from .steps import Call, Request, segment


def take(
    retrying: Retrying, sandbox: str, name: str | None, labels: Mapping[str, str] | None
) -> Call[Snapshot]:
    """Of all its files, at one moment. Not sent twice: there would be two."""
    body: dict[str, Any] = {"name": name} if name else {}
    if labels:
        body["labels"] = dict(labels)
    path = f"/sandboxes/{segment(sandbox)}/snapshots"
    answer = yield from retrying.exchange(
        Request("POST", path, json=body, is_repeatable=False, silence_s=CREATE_SILENCE_S)
    )
    return Snapshot.from_json(answer.json())


def find_all(
    retrying: Retrying, *, sandbox: str | None = None, labels: Mapping[str, str] | None = None
) -> Call[list[Snapshot]]:
    """All of the owner's, or those of one sandbox."""
    filters = [f"{name}={value}" for name, value in labels.items()] if labels else None
    query = {"sandbox_id": sandbox, "label": filters, "limit": 1000}
    found = yield from pages(retrying, Request("GET", "/snapshots", query))
    return [Snapshot.from_json(one) for one in found]


def show(retrying: Retrying, snapshot: str) -> Call[Snapshot]:
    """By id or name."""
    answer = yield from retrying.exchange(Request("GET", f"/snapshots/{segment(snapshot)}"))
    return Snapshot.from_json(answer.json())


def delete(retrying: Retrying, snapshot: str) -> Call[None]:
    """Sandboxes that were made from it stay as they are."""
    try:
        yield from retrying.exchange(Request("DELETE", f"/snapshots/{segment(snapshot)}"))
    except SnapshotNotFound as error:
        if not error.is_uncertain:
            raise


def restore(retrying: Retrying, sandbox: str, snapshot: str) -> Call[SandboxInfo]:
    """Bring it back to these files; what runs in it ends. Not sent twice: it would undo what has
    happened in between."""
    path = f"/sandboxes/{segment(sandbox)}/restore"
    answer = yield from retrying.exchange(
        Request(
            "POST",
            path,
            json={"snapshot": snapshot},
            is_repeatable=False,
            silence_s=CREATE_SILENCE_S,
        )
    )
    return SandboxInfo.from_json(answer.json())


def fork(
    retrying: Retrying, sandbox: str, count: int, options: Mapping[str, Any]
) -> Call[list[CreatedSandbox | ApiError]]:
    """One entry per copy: the new sandbox, or why there is none. Not sent twice: there would be
    more."""
    body = {name: value for name, value in options.items() if value is not None}
    path = f"/sandboxes/{segment(sandbox)}/fork"
    answer = yield from retrying.exchange(
        Request(
            "POST",
            path,
            json={**body, "count": count},
            is_repeatable=False,
            silence_s=CREATE_SILENCE_S + 10.0 * count,
        )
    )
    return [_copy(one) for one in answer.json()]


def _copy(found: Mapping[str, Any]) -> CreatedSandbox | ApiError:
    error = found.get("error")
    if error:
        return error_from(dict(error), status=error.get("status"))
    return CreatedSandbox.from_json(found)


def listening(retrying: Retrying, sandbox: str) -> Call[list[ListeningPort]]:
    """TCP ports on which servers listen inside."""
    answer = yield from retrying.exchange(Request("GET", f"/sandboxes/{segment(sandbox)}/ports"))
    return [ListeningPort.from_json(one) for one in answer.json()]


def port_address(
    retrying: Retrying, sandbox: str, port: int, ttl_s: float | None
) -> Call[PortAddress]:
    """One that works without a key, for a time."""
    body = {} if ttl_s is None else {"ttl": ttl_s}
    path = f"/sandboxes/{segment(sandbox)}/ports/{port}/token"
    answer = yield from retrying.exchange(Request("POST", path, json=body))
    return PortAddress.from_json(answer.json())
