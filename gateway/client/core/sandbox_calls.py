"""Calls about sandboxes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, Literal, TypedDict

from ..error_codes import SandboxNotFound
from ..models.commands import Changes
from ..models.sandboxes import (
    AccessToken,
    CreatedSandbox,
    Event,
    SandboxInfo,
    SandboxStats,
)
from .retrying import Retrying
from .steps import Call, Request, segment

CREATE_SILENCE_S = 180.0
"""A create waits for room, and then for the engine."""


class SandboxOptions(TypedDict, total=False):
    """What a sandbox may be made with; `docs/api.md` of the gateway says what each means. Times are
    seconds. What is not given is as the gateway's operator has set it."""

    name: str | None
    image: str | None
    cpus: float | None
    memory_mb: int | None
    pids: int | None
    disk_mb: int | None
    env: Mapping[str, str] | None
    labels: Mapping[str, str] | None
    timeout: float | None
    idle_timeout: float | None
    idle_action: Literal["delete", "pause"] | None
    timeout_action: Literal["delete", "pause"] | None
    network: Literal["bridge", "none"] | None
    isolation: Literal["standard", "strict", "gvisor"] | None
    snapshot: str | None
    root: bool | None


def create(retrying: Retrying, options: Mapping[str, Any]) -> Call[CreatedSandbox]:
    """A new sandbox. With an idempotency key: however often it is sent, there is one."""
    body = _given(options)
    answer = yield from retrying.exchange(
        Request(
            "POST",
            "/sandboxes",
            json=body,
            headers={"Idempotency-Key": str(uuid.uuid4())},
            silence_s=CREATE_SILENCE_S,
        )
    )
    return CreatedSandbox.from_json(answer.json())


def _given(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def show(retrying: Retrying, sandbox: str) -> Call[SandboxInfo]:
    """As it is now."""
    answer = yield from retrying.exchange(Request("GET", _address(sandbox)))
    return SandboxInfo.from_json(answer.json())


def find_all(
    retrying: Retrying, *, status: str | None = None, labels: Mapping[str, str] | None = None
) -> Call[list[SandboxInfo]]:
    """Oldest first, however many there are."""
    query = {"status": status, "label": _filters(labels), "limit": 1000}
    found = yield from pages(retrying, Request("GET", "/sandboxes", query))
    return [SandboxInfo.from_json(one) for one in found]


def _filters(labels: Mapping[str, str] | None) -> list[str] | None:
    return [f"{name}={value}" for name, value in labels.items()] if labels else None


def pages(retrying: Retrying, request: Request) -> Call[list[Any]]:
    """A list that may be answered in parts."""
    found: list[Any] = []
    following: Request | None = request
    while following is not None:
        answer = yield from retrying.exchange(following)
        found += answer.json()
        following = Request("GET", answer.next_page) if answer.next_page else None
    return found


def change(retrying: Retrying, sandbox: str, changes: Mapping[str, Any]) -> Call[SandboxInfo]:
    """Of `timeout`, `idle_timeout` and `labels`, those that are named."""
    answer = yield from retrying.exchange(Request("PATCH", _address(sandbox), json=dict(changes)))
    return SandboxInfo.from_json(answer.json())


def delete(retrying: Retrying, sandbox: str) -> Call[None]:
    """End it, and all that runs in it."""
    try:
        yield from retrying.exchange(
            Request("DELETE", _address(sandbox), silence_s=CREATE_SILENCE_S)
        )
    except SandboxNotFound as error:
        if not error.is_uncertain:
            raise


def set_paused(retrying: Retrying, sandbox: str, *, paused: bool) -> Call[SandboxInfo]:
    """Pause it or let it go on."""
    verb = "pause" if paused else "resume"
    answer = yield from retrying.exchange(Request("POST", f"{_address(sandbox)}/{verb}"))
    return SandboxInfo.from_json(answer.json())


def stats(retrying: Retrying, sandbox: str) -> Call[SandboxStats]:
    """What it uses now. Takes about a second."""
    answer = yield from retrying.exchange(Request("GET", f"{_address(sandbox)}/stats"))
    return SandboxStats.from_json(answer.json())


def events(
    retrying: Retrying, sandbox: str | None, *, after: int | None = None
) -> Call[list[Event]]:
    """What has happened, oldest first: to one, or to all."""
    path = "/events" if sandbox is None else f"{_address(sandbox)}/events"
    found: list[Event] = []
    while True:
        last = found[-1].id if found else after
        answer = yield from retrying.exchange(
            Request("GET", path, {"after": last, "limit": MOST_EVENTS})
        )
        if answer.status == 204:
            return found
        page = [Event.from_json(one) for one in answer.json()]
        found += page
        if len(page) < MOST_EVENTS:
            return found


MOST_EVENTS = 1000


def changed_files(retrying: Retrying, sandbox: str, since: str | None) -> Call[Changes]:
    """Against a snapshot or, without one, its image."""
    answer = yield from retrying.exchange(
        Request("GET", f"{_address(sandbox)}/changes", {"since": since})
    )
    return Changes.from_json(answer.json())


def issue_token(retrying: Retrying, sandbox: str) -> Call[AccessToken]:
    """One that opens this sandbox, for somebody without a key."""
    answer = yield from retrying.exchange(Request("POST", f"{_address(sandbox)}/token"))
    return AccessToken.from_json(answer.json())


def revoke_tokens(retrying: Retrying, sandbox: str) -> Call[None]:
    """All that were issued for it."""
    yield from retrying.exchange(Request("DELETE", f"{_address(sandbox)}/token"))


def _address(sandbox: str) -> str:
    return f"/sandboxes/{segment(sandbox)}"
