"""Sandboxes as E2B's control plane shows them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

import orjson
from flask import Response, request

from gateway.api.e2b.backend import SandboxView, Tokens
from gateway.api.e2b.notes import is_public, metadata_of, template_of
from gateway.middleware.origin_and_cors import site_of
from gateway.middleware.port_target import domain_for

ENVD_VERSION = "0.6.4"
"""Switches on what the SDKs take for granted of the service in the sandbox."""

CLIENT_ID = "gateway"
"""Every answer has one; nobody reads it."""

WITHOUT_END = "2100-01-01T00:00:00Z"
"""Where there is no end: of a sandbox that is paused, or was made without."""


@dataclass(frozen=True)
class Shown:
    """Writes sandboxes. `domains` are those under which ports have hosts of their own."""

    tokens: Tokens
    domains: Collection[str]

    def created(self, view: SandboxView) -> dict[str, Any]:
        """As create and connect answer."""
        said = {
            "templateID": template_of(view),
            "sandboxID": view.sandbox_id,
            "clientID": CLIENT_ID,
            "envdVersion": ENVD_VERSION,
            "envdAccessToken": self.tokens.e2b_token(view.sandbox_id),
            "domain": self._domain(),
        }
        if not is_public(view):
            said["trafficAccessToken"] = self.tokens.e2b_token(view.sandbox_id, "traffic")
        return said

    def detail(self, view: SandboxView) -> dict[str, Any]:
        """One sandbox."""
        auto_resume = bool(view.notes.get("auto_resume", False))
        keeps_memory = view.notes.get("keeps_memory", True)
        return {
            **listed(view),
            "envdAccessToken": self.tokens.e2b_token(view.sandbox_id),
            "domain": self._domain(),
            "allowInternetAccess": view.network != "none",
            "network": network_of(view),
            "lifecycle": {
                "autoResume": auto_resume,
                "onTimeout": "pause" if view.timeout_action == "pause" else "kill",
            },
            "pauseMode": "full" if keeps_memory else "filesystem",
        }

    def _domain(self) -> str | None:
        """What SDKs put a port and the id before, to make the name of a host."""
        host = site_of(request.host)
        below = domain_for(host.name, self.domains)
        return below and (f"{below}:{host.port}" if host.port else below)


def listed(view: SandboxView) -> dict[str, Any]:
    """One of a list."""
    return {
        "templateID": template_of(view),
        "alias": template_of(view),
        "sandboxID": view.sandbox_id,
        "clientID": CLIENT_ID,
        "startedAt": time_of(view.created_at),
        "endAt": WITHOUT_END if view.ends_at is None else time_of(view.ends_at),
        "cpuCount": max(1, math.ceil(view.cpus)),
        "memoryMB": view.memory_mb,
        "diskSizeMB": view.disk_mb or 0,
        "state": "paused" if view.status == "paused" else "running",
        "envdVersion": ENVD_VERSION,
        "metadata": metadata_of(view),
        "volumeMounts": [],
    }


def network_of(view: SandboxView) -> dict[str, Any]:
    """What it may reach, and who may reach it."""
    said: dict[str, Any] = {"allowPublicTraffic": is_public(view)}
    if view.network == "none":
        said["denyOut"] = ["0.0.0.0/0"]
    if "masked_host" in view.notes:
        said["maskRequestHost"] = view.notes["masked_host"]
    return said


def time_of(at: float) -> str:
    """Seconds since the epoch, as RFC 3339."""
    text = datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def written(
    said: Mapping[str, Any] | Sequence[Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An answer."""
    return Response(orjson.dumps(said), status, headers, content_type="application/json")


def nothing() -> Response:
    """204."""
    response = Response(status=204)
    response.headers.pop("Content-Type", None)
    return response
