"""Who did what to which sandbox: requests that change something, WebSockets, and refusals.

Neither keys and tokens nor what commands are and write is noted. Routes appear as their rules, and
ids only where they can be ids: an address is free text of whoever asks.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, cast

from flask import Flask, Response, current_app, g, request

from gateway import clock
from gateway.identity.caller import ANONYMOUS, Caller
from gateway.logs.audit_log_file import AuditLog
from gateway.schemas.models import SANDBOX_ID_PATTERN

ACTIONS: Mapping[tuple[str, str], str] = {
    ("POST", "/sandboxes"): "create",
    ("PATCH", "/sandboxes/{}"): "patch",
    ("DELETE", "/sandboxes/{}"): "delete",
    ("POST", "/sandboxes/{}/pause"): "pause",
    ("POST", "/sandboxes/{}/resume"): "resume",
    ("POST", "/sandboxes/{}/snapshots"): "snapshot",
    ("POST", "/sandboxes/{}/fork"): "fork",
    ("POST", "/sandboxes/{}/restore"): "restore",
    ("DELETE", "/snapshots/{}"): "snapshot_delete",
    ("POST", "/templates"): "template_build",
    ("DELETE", "/templates/{}"): "template_delete",
    ("POST", "/sandboxes/{}/token"): "token_issue",
    ("DELETE", "/sandboxes/{}/token"): "token_revoke",
    ("POST", "/sandboxes/{}/ports/{}/token"): "port_token_issue",
    ("POST", "/sandboxes/{}/commands"): "command_start",
    ("POST", "/sandboxes/{}/commands/{}/stdin"): "command_stdin",
    ("POST", "/sandboxes/{}/commands/{}/signal"): "command_signal",
    ("POST", "/e2b/control/sandboxes"): "create",
    ("POST", "/e2b/control/v2/sandboxes"): "create",
    ("DELETE", "/e2b/control/sandboxes/{}"): "delete",
    ("POST", "/e2b/control/sandboxes/{}/timeout"): "patch",
    ("POST", "/e2b/control/sandboxes/{}/refreshes"): "patch",
    ("POST", "/e2b/control/sandboxes/{}/pause"): "pause",
    ("POST", "/e2b/control/sandboxes/{}/resume"): "resume",
    ("POST", "/e2b/control/sandboxes/{}/connect"): "resume",
    ("POST", "/e2b/control/v2/sandboxes/{}/connect"): "resume",
    ("POST", "/e2b/control/sandboxes/{}/snapshots"): "snapshot",
    ("POST", "/e2b/control/sandboxes/{}/fork"): "fork",
    ("DELETE", "/e2b/control/templates/{}"): "snapshot_delete",
    ("POST", "/e2b/envd/{}/process.Process/Start"): "command_start",
    ("POST", "/e2b/envd/{}/process.Process/SendInput"): "command_stdin",
    ("POST", "/e2b/envd/{}/process.Process/SendSignal"): "command_signal",
}
"""By method and rule, parameters as `{}`. What servers in sandboxes are asked is traffic, and not
noted. Other routes that change something are noted by both."""

DENIED_PER_S = 10.0
"""Refusals noted per caller and worker, and as many at once; of more there is the number only, for
anybody can cause them."""

_EXTENSION = "sandbox-gateway.audit"
_READING = frozenset(("GET", "HEAD", "OPTIONS"))
_NOTED_ELSEWHERE = ("port_traffic.", "mcp.")
"""Traffic is not noted, and each call of a tool by itself."""

_PARAMETER = re.compile(r"<[^>]*>")
_SANDBOX_ID = re.compile(SANDBOX_ID_PATTERN)


def install(app: Flask, audit_log: AuditLog | None) -> None:
    """Note what requests to `app` do. Call it before `origin_and_cors.install`."""
    if audit_log is None:
        return
    app.extensions[_EXTENSION] = audit_log
    refusals = Refusals(audit_log)

    def begin(_endpoint: str | None, _values: object) -> None:
        g.audit_begun = time.monotonic()

    def note(response: Response) -> Response:
        rule = request.url_rule
        denied = g.get("denied")
        if denied:
            refusals.note(_entry("denied", response.status_code, reason=denied))
        elif rule is not None and not rule.websocket and _changes(rule.endpoint):
            entry = _entry(action_of(request.method, rule.rule), response.status_code)
            if entry["action"] == "create":
                entry["sandbox_id"] = (
                    response.headers.get("Location", "").rpartition("/")[2] or None
                )
            audit_log.write(entry)
        return response

    app.url_value_preprocessor(begin)
    app.after_request(note)


def _changes(endpoint: str) -> bool:
    return request.method not in _READING and not endpoint.startswith(_NOTED_ELSEWHERE)


def action_of(method: str, rule: str) -> str:
    """What a request does, in a word or, for routes that are not listed, by method and rule."""
    plain = _PARAMETER.sub("{}", rule)
    return ACTIONS.get((method, plain), f"{method} {plain}")


@dataclass(frozen=True)
class AuditContext:
    """Notes what one WebSocket's client does, in any greenlet. Made within its request."""

    _log: AuditLog | None
    _known: Mapping[str, object]

    @classmethod
    def nowhere(cls) -> AuditContext:
        """One that notes nothing."""
        return cls(None, {})

    def note(self, action: str, **more: object) -> None:
        """Append an entry about this client."""
        if self._log is not None:
            self._log.write({"at": _now(), "action": action, **self._known, **more})


def audit_context() -> AuditContext:
    """The audit context of the current request."""
    audit_log = cast("AuditLog | None", current_app.extensions.get(_EXTENSION))
    return AuditContext(audit_log, {} if audit_log is None else _asking())


class Refusals:
    """Notes refusals, but of each caller, and of all who are none, no more than DENIED_PER_S."""

    def __init__(self, audit_log: AuditLog) -> None:
        self._log = audit_log
        self._of: dict[object, _Left] = {}

    def note(self, entry: dict[str, object]) -> None:
        """Append the entry, and how many of the same caller were not since the one before."""
        left = self._of.setdefault(entry.get("caller"), _Left(clock.boot_s()))
        if left.takes(clock.boot_s()):
            self._log.write({**entry, "unnoted": left.unnoted or None})
            left.unnoted = 0
        else:
            left.unnoted += 1


@dataclass
class _Left:
    """How many of one caller's refusals may be noted still. `at` is boot time."""

    at: float
    left: float = DENIED_PER_S
    unnoted: int = 0

    def takes(self, now: float) -> bool:
        """Whether another one may be noted; it counts then."""
        self.left = min(DENIED_PER_S, self.left + (now - self.at) * DENIED_PER_S)
        self.at = now
        if self.left < 1:
            return False
        self.left -= 1
        return True


def _entry(action: str, status: int, **more: object) -> dict[str, object]:
    begun = g.get("audit_begun")
    return {
        "at": _now(),
        "action": action,
        **_asking(),
        "status": status,
        "duration_ms": begun and round((time.monotonic() - begun) * 1000, 1),
        **more,
    }


def _asking() -> dict[str, object]:
    caller: Caller = g.get("caller", ANONYMOUS)
    values: Mapping[str, Any] = request.view_args or {}
    sandbox_id = values.get("sandbox_id", "")
    return {
        "caller": caller.name or None,
        "by": "token" if caller.sandbox_id else ("key" if caller.name else None),
        "sandbox_id": sandbox_id if _SANDBOX_ID.fullmatch(sandbox_id) else None,
        "request_id": values.get("request_id"),
        "method": request.method,
        "route": request.url_rule.rule if request.url_rule is not None else None,
        "client": request.remote_addr,
    }


def _now() -> str:
    at = datetime.fromtimestamp(clock.wall_s(), timezone.utc)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
